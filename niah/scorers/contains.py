"""RULER's string_match_all: the share of targets that occur in the response."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import has_substring, holds
from niah.scorers.normal_form import normal, readings


@dataclass(frozen=True)
class Contains(Scorer):
    """With ``whole_words`` (default) "art" is not found in "start", and both are brought to normal form.

    Without, it is RULER's own rule: any substring, lower case, nothing else made alike.
    """

    name: str = "contains"
    whole_words: bool = True

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        if self.whole_words:
            said = readings(response)
            found = sum(holds(said, normal(target)) for target in targets)
        else:
            found = sum(has_substring(response, target) for target in targets)
        return Score(found / len(targets), response.strip())
