"""RULER's string_match_part: one of the targets occurs in the response, letter case apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import place


@dataclass(frozen=True)
class AnyOf(Scorer):
    """``whole_words`` false is RULER's own rule."""

    name: str = "any_of"
    whole_words: bool = True

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        hit = any(place(response, target, whole_words=self.whole_words) is not None for target in targets)
        return Score(float(hit), response.strip())
