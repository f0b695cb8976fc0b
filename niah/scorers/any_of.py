"""RULER's string_match_part: one of the targets occurs in the response."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import has_substring, holds
from niah.scorers.normal_form import normal, readings


@dataclass(frozen=True)
class AnyOf(Scorer):
    """``whole_words`` false is RULER's own rule: any substring, lower case, nothing else made alike."""

    name: str = "any_of"
    whole_words: bool = True

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        if self.whole_words:
            said = readings(response)
            hit = any(holds(said, normal(target)) for target in targets)
        else:
            hit = any(has_substring(response, target) for target in targets)
        return Score(float(hit), response.strip())
