"""All targets occur in the response and none of the distractors: hedging is not an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import place


@dataclass(frozen=True)
class Only(Scorer):
    name: str = "only"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        hit = all(place(response, target) is not None for target in targets) and all(
            place(response, distractor) is None for distractor in distractors
        )
        return Score(float(hit), response.strip())
