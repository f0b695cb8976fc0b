"""All targets occur in the response and none of the distractors: hedging is not an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import holds
from niah.scorers.normal_form import normal, readings


@dataclass(frozen=True)
class Only(Scorer):
    name: str = "only"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        said = readings(response)
        hit = all(holds(said, normal(target)) for target in targets) and not any(
            holds(said, normal(distractor)) for distractor in distractors
        )
        return Score(float(hit), response.strip())
