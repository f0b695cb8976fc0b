"""The response says that the text does not hold the answer: by the phrase asked for, or in other words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import regex

from niah import languages
from niah.records import Score
from niah.scorers import Scorer

_ENGLISH = regex.compile(
    r"\b(?:(?:is|are|was|were)(?: not|n't) (?:\w+ ){0,2}(?:mentioned|given|stated|specified|provided|found|"
    r"present|included)|(?:does|do|did)(?: not|n't) (?:\w+ ){0,2}(?:mention|contain|include|specify|state|"
    r"provide|say|appear|give)|no (?:mention|information|reference|such)|unanswerable|"
    r"(?:can(?:no|')t|could(?: not|n't)) (?:be )?f(?:i|ou)nd)",
    regex.IGNORECASE,
)


@cache
def _phrases() -> tuple[str, ...]:
    """What models say in the other languages (languages/*.toml)."""
    others = (code for code in languages.CODES if code != "en")
    return tuple(phrase.casefold() for code in others for phrase in languages.load(code)["absent"]["phrases"])


def claims_absence(response: str) -> bool:
    """Whether a response that is not right otherwise says, in phrases known for it, that there is no answer."""
    said = response.casefold()
    return _ENGLISH.search(response) is not None or any(phrase in said for phrase in _phrases())


@dataclass(frozen=True)
class ClaimsAbsence(Scorer):
    """``targets`` are the language's phrases for it."""

    name: str = "claims_absence"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        said = response.casefold()
        hit = claims_absence(response) or any(target.casefold() in said for target in targets)
        return Score(float(hit), response.strip())
