"""Each part of a target occurs in the response, in any order: for an answer that is a sentence.

Kamradt's needle (2023) has two things to do; he had GPT-4 judge whether an answer names them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from niah.limits import free_text
from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.normal_form import normal

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Parts(Scorer):
    """``between`` is what stands between the parts of a target. The words of a part follow each other in the response
    and may go on there: "eat a sandwich" is in "eating a sandwich"."""

    name: str = "parts"
    between: str = free_text(" and ")

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        said = _WORD.findall(normal(response))
        parts = [_WORD.findall(normal(part)) for target in targets for part in target.split(self.between or None)]
        found = sum(_follows(said, part) for part in parts if part)
        return Score(found / max(1, sum(map(bool, parts))), response.strip())


def _follows(said: Sequence[str], part: Sequence[str]) -> bool:
    starts = range(len(said) - len(part) + 1)
    return any(all(said[start + at].startswith(word) for at, word in enumerate(part)) for start in starts)
