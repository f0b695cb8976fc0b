"""RULER's string_match_all: the share of targets that occur in the response, letter case apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import place


@dataclass(frozen=True)
class Contains(Scorer):
    """With ``whole_words`` (default) "art" is not found in "start"; RULER's own takes any substring."""

    name: str = "contains"
    whole_words: bool = True

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        found = sum(place(response, target, whole_words=self.whole_words) is not None for target in targets)
        return Score(found / len(targets), response.strip())
