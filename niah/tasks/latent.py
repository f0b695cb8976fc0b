"""A fact that shares no word with its question: only knowledge of the world links the two.

After NoLiMa (Modarressi et al. 2025, arXiv:2502.05167), with facts of our own in seven languages
(languages/*.toml, [latent]); theirs are not redistributed. The answer is a name.
"""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.limits import limited
from niah.records import Problem
from niah.tasks import Surroundings, Task, draws


@dataclass(frozen=True, kw_only=True)
class Latent(Task):
    """``num_distractors`` other people with facts that answer other questions are planted too."""

    name: str = "latent"
    num_distractors: int = limited(0, at_least=0, at_most=100_000)

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        own = self.phrases(haystack)["latent"]
        if self.num_distractors >= len(own["facts"]):
            raise NiahError(
                f"task.num_distractors: got {self.num_distractors}; expected 0 to {len(own['facts']) - 1}"
            )
        chosen = rng.permutation(len(own["facts"]))[: 1 + self.num_distractors]
        held = haystack.holding(own["names"])
        names = [str(name) for name in rng.permutation(own["names"]) if name not in held]
        if len(names) <= self.num_distractors:
            raise NiahError("task=latent: the haystack holds too many of its names; take another haystack")
        target, *others = names[: 1 + self.num_distractors]
        facts = [own["facts"][number] for number in chosen]
        return Problem(
            needles=tuple(
                draws.filled(fact[0], name=name) for fact, name in zip(facts, [target, *others], strict=True)
            ),
            question=facts[0][1],
            targets=(target,),
            answer_prefix=own["prefix"],
            distractors=tuple(others),
            num_needed=1,
        )
