"""Several values of one key from different years: the newest (or oldest) is the right one.

What long memories and changed documents ask for (LongMemEval's knowledge updates, Wu et al. 2024,
arXiv:2410.10813). An answer that also names an outdated value is wrong.
"""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.records import Problem
from niah.scorers.only import Only
from niah.tasks import Planted, Surroundings, draws

_YEARS = np.arange(1962, 2024)


@dataclass(frozen=True, kw_only=True)
class Conflicting(Planted):
    """``wins`` is newest or oldest. The value that wins stands at the cell's depth: years, not places, decide."""

    name: str = "conflicting"
    wins: str = "newest"
    num_values: int = 2

    scorer = Only()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wins not in ("newest", "oldest"):
            raise NiahError(f"task.wins: got {self.wins!r}; expected newest or oldest")
        if not 2 <= self.num_values <= len(_YEARS):
            raise NiahError(f"task.num_values: got {self.num_values}; expected 2 to {len(_YEARS)}")

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        phrases = self.phrases(haystack)
        own = phrases["conflicting"]
        key = draws.key(rng, "city", phrases["keys"])
        values = draws.unseen(lambda: draws.number(rng), self.num_values, haystack, "task=conflicting")
        years = sorted(int(year) for year in rng.choice(_YEARS, self.num_values, replace=False))
        if self.wins == "newest":
            years.reverse()
        return Problem(
            needles=tuple(
                draws.filled(own["needle"], year=year, key=key, value=value)
                for year, value in zip(years, values, strict=True)
            ),
            question=draws.filled(own[f"question_{self.wins}"], key=key),
            targets=(values[0],),
            answer_prefix=draws.filled(own[f"prefix_{self.wins}"], key=key),
            distractors=tuple(values[1:]),
            num_needed=1,
        )
