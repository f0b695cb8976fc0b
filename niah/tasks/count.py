"""How often something is said: the answer is a number that stands nowhere in the text.

The counting of Counting-Stars (Song et al. 2024, arXiv:2403.11802), with places instead of stars.
"""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.limits import limited
from niah.records import Problem
from niah.scorers.number import Number
from niah.tasks import Surroundings, Task, draws


@dataclass(frozen=True, kw_only=True)
class Count(Task):
    """From ``fewest`` to ``most`` needles, drawn anew for each repeat: a constant guess is wrong mostly."""

    name: str = "count"
    fewest: int = limited(2, at_least=1)
    most: int = 9

    unshared = "it asks for all needles of a text at once"
    default_tokens = 16
    scorer = Number()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fewest > self.most:
            raise NiahError(f"task.fewest: got {self.fewest} to {self.most}; expected at most task.most")

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        phrases = self.phrases(haystack)
        count = int(rng.integers(self.fewest, self.most + 1))
        keys = draws.distinct(lambda: draws.key(rng, "city", phrases["keys"]), count, "task.most")
        own = phrases["count"]
        return Problem(
            needles=tuple(draws.filled(own["needle"], key=key) for key in keys),
            question=own["question"],
            targets=(str(count),),
            answer_prefix=own["prefix"],
        )
