"""What a scorer of the user's own returns: checked before a row is made of it."""

from dataclasses import dataclass
from typing import Any

import pytest

from niah.errors import NiahError
from niah.records import Problem, Score
from niah.scorers import Scorer
from niah.scorers.outcome import judge


@dataclass(frozen=True)
class Odd(Scorer):
    """Returns what it is given."""

    name: str = "odd"
    returned: Any = None

    def score(self, response, targets, distractors=()):
        return self.returned


@pytest.mark.parametrize("returned", [None, 0.5, Score(3.5, "x"), Score(float("nan"), "x"), Score(1.0, None)])
def test_what_no_row_can_hold_names_the_scorer(returned):
    problem = Problem(needles=("The code is 5.",), question="Which?", targets=("5",))
    with pytest.raises(NiahError, match=r"scorer=odd: .*Odd returned .*expected niah.records.Score"):
        judge("5", problem, Odd(returned=returned), "stop")
