"""A count and how far an answer is from it.

Oolong's rule for numbers (Bertsch et al. 2025, arXiv:2511.02817): 0.75 to the power of the distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.limits import limited
from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.number import named

_FARTHEST = 1000
"""A distance from which on the score is 0, as it is to the precision of a number long before."""
_MOST = 1e9
"""The largest ``off_by``, whatever number is written."""


@dataclass(frozen=True)
class Tally(Scorer):
    """The number of a response is the last one, as ``number`` reads it; of two readings the nearer counts.

    ``Score.value`` is ``base`` to the power of its distance to the target, so that only the count itself is a right
    answer; 0 without a number. Beside it, where there is one, ``off_by``, the distance.
    """

    name: str = "tally"
    base: float = limited(0.75, above=0, below=1)

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        answer, found = named(response)
        if not found:
            return Score(0.0, answer)
        nearest = min(abs(float(value) - float(targets[0])) for value in found)
        value = self.base**nearest if nearest < _FARTHEST else 0.0
        return Score(value, answer, {"off_by": min(nearest, _MOST)})
