"""Several needles that have to be named in the order of the text."""

from dataclasses import dataclass

import numpy as np

from niah.limits import limited
from niah.records import Problem
from niah.scorers.ordered import Ordered as InOrder
from niah.tasks import Surroundings, Task, draws


@dataclass(frozen=True, kw_only=True)
class Ordered(Task):
    """One of the ``num_needles`` stands at the cell's depth; the score is the share named in order."""

    name: str = "ordered"
    num_needles: int = limited(4, at_least=2, at_most=100_000)

    unshared = "it asks for all needles of a text at once"
    scorer = InOrder()

    @property
    def answer_tokens(self) -> int:
        return self.max_tokens or 16 + 12 * self.num_needles

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        phrases = self.phrases(haystack)
        own = phrases["ordered"]
        keys = draws.distinct(lambda: draws.key(rng, "city", phrases["keys"]), self.num_needles, "task.num_needles")
        return Problem(
            needles=tuple(draws.filled(own["needle"], key=key) for key in keys),
            question=draws.filled(own["question"], count=self.num_needles),
            targets=tuple(keys),
            answer_prefix=own["prefix"],
            in_order=True,
        )
