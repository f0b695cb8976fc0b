"""A fact that shares no word with its question: only knowledge of the world links the two.

After NoLiMa (Modarressi et al. 2025, arXiv:2502.05167), with facts of our own in seven languages
(languages/*.toml, [latent]); theirs are not redistributed. The answer is a name.
"""

from dataclasses import dataclass, replace

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

    unshared = ""

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        return self._drawn(rng, haystack, 1, self.num_distractors)[0]

    def shared(self, rng: np.random.Generator, haystack: Surroundings, num: int) -> list[Problem]:
        """A person and a fact for each problem; the ``num_distractors`` stand beside the first."""
        return self._drawn(rng, haystack, num, self.num_distractors)

    def _drawn(self, rng: np.random.Generator, haystack: Surroundings, num: int, others: int) -> list[Problem]:
        """``num`` problems about different facts, and ``others`` facts that are planted with the first."""
        own = self.phrases(haystack)["latent"]
        if num + others > len(own["facts"]):
            what = f"task.num_distractors: got {others}" if num == 1 else (
                f"ctx.share: got {num} questions and {others} distractors (task.num_distractors) of {len(own['facts'])}"
                " facts in this language"
            )
            most = f"0 to {len(own['facts']) - 1}" if num == 1 else "fewer depths or lengths, or ctx.share=none"
            raise NiahError(f"{what}; expected {most}")
        chosen = rng.permutation(len(own["facts"]))[: num + others]
        held = haystack.holding(own["names"])
        names = [str(name) for name in rng.permutation(own["names"]) if name not in held]
        if len(names) < num + others:
            raise NiahError("task=latent: the haystack holds too many of its names; take another haystack")
        facts = [own["facts"][number] for number in chosen]
        needles = [draws.filled(fact[0], name=name) for fact, name in zip(facts, names, strict=False)]
        problems = [
            Problem((needle,), fact[1], (name,), own["prefix"], num_needed=1)
            for needle, fact, name in zip(needles[:num], facts, names, strict=False)
        ]
        planted, wrong = needles[num:], names[num : num + others]
        return [
            replace(problems[0], needles=(needles[0], *planted), distractors=tuple(wrong)), *problems[1:]
        ]
