"""A value that changes along the text: the last one stands.

The knowledge updates of long memories (LongMemEval, Wu et al. 2024, arXiv:2410.10813) by place in the text: what says a
new value does not say when, so that only the order decides. In ``conflicting`` years decide, wherever they stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.limits import limited
from niah.records import Problem
from niah.scorers.only import Only
from niah.tasks import Surroundings, Task, draws

_BEFORE = 1e-9
"""Percent by which an earlier value is put before the last at least: at depth 0 all stand at one place, in order."""


@dataclass(frozen=True, kw_only=True)
class Update(Task):
    """``num_values`` of one key. The last stands at the cell's depth, the others before it: even or random over the
    text up to there, or clustered right before it. An answer that also names an outdated value is wrong.
    """

    name: str = "update"
    num_values: int = limited(3, at_least=2, at_most=100_000)

    unshared = "earlier values of a key have to stand before its last one, wherever the depths put that"
    scorer = Only()

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        phrases = self.phrases(haystack)
        own, key = phrases["update"], draws.key(rng, "city", phrases["keys"])
        values = draws.unseen(lambda: draws.number(rng), self.num_values, haystack, "task=update")
        return Problem(
            needles=tuple(draws.filled(own["needle"], key=key, value=value) for value in values),
            question=draws.filled(own["question"], key=key),
            targets=(values[0],),
            answer_prefix=draws.filled(own["prefix"], key=key),
            distractors=tuple(values[1:]),
            in_order=True,
            num_needed=1,
        )

    def arranged(self, problem: Problem, depths: Sequence[float]) -> tuple[Problem, Sequence[float]]:
        """Depths of the others drawn over the whole text are brought before the last value's."""
        last, *others = depths
        share = 1.0 if self.placement == "clustered" else last / 100
        return problem, [last, *(min(share * depth, last - _BEFORE) for depth in others)]
