"""Several values of one key from different years: the newest (or oldest) is the right one.

What long memories and changed documents ask for (LongMemEval's knowledge updates, Wu et al. 2024,
arXiv:2410.10813). An answer that also names an outdated value is wrong.
"""

from dataclasses import dataclass

import numpy as np

from niah.limits import limited, one_of
from niah.records import Problem
from niah.scorers.only import Only
from niah.tasks import Surroundings, Task, draws

_YEARS = np.arange(1962, 2024)


@dataclass(frozen=True, kw_only=True)
class Conflicting(Task):
    """``wins`` is newest or oldest. The value that wins stands at the cell's depth: years, not places, decide."""

    name: str = "conflicting"
    wins: str = one_of("newest", "oldest")
    num_values: int = limited(2, at_least=2, at_most=len(_YEARS))

    scorer = Only()

    unshared = ""

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        phrases = self.phrases(haystack)
        key = draws.key(rng, "city", phrases["keys"])
        values = draws.unseen(lambda: draws.number(rng), self.num_values, haystack, "task=conflicting")
        return self._worded(rng, phrases, key, values)

    def shared(self, rng: np.random.Generator, haystack: Surroundings, num: int) -> list[Problem]:
        """A key for each problem, with values of its own."""
        phrases, each = self.phrases(haystack), self.num_values
        keys = draws.distinct(lambda: draws.key(rng, "city", phrases["keys"]), num, "ctx.share")
        values = draws.unseen(lambda: draws.number(rng), num * each, haystack, "task=conflicting")
        return [
            self._worded(rng, phrases, key, values[each * number : each * (number + 1)])
            for number, key in enumerate(keys)
        ]

    def _worded(self, rng: np.random.Generator, phrases: dict, key: str, values: list[str]) -> Problem:
        """The values of a key, each of another year; the first is the right one."""
        own = phrases["conflicting"]
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
