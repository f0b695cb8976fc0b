"""RULER's string_match_all: the share of targets that occur in the response, letter case apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from niah.records import Score


@dataclass(frozen=True)
class Contains:
    """With ``whole_words`` (default) "art" is not found in "start"; RULER's own takes any substring."""

    name: str = "contains"
    whole_words: bool = True

    def score(self, response: str, targets: Sequence[str]) -> Score:
        found = sum(self._holds(response.casefold(), target.casefold()) for target in targets)
        return Score(found / len(targets), response.strip())

    def _holds(self, response: str, target: str) -> bool:
        if not self.whole_words:
            return target in response
        # a border is needed only where the target itself ends in a letter written with spaces
        before = r"(?<![\p{L}\p{N}])" if _bordered(target[0]) else ""
        after = r"(?![\p{L}\p{N}])" if _bordered(target[-1]) else ""
        return regex.search(before + regex.escape(target) + after, response) is not None


def _bordered(character: str) -> bool:
    return regex.match(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{N}]", character) is not None
