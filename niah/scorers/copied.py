"""A line is copied, character for character: how many edits an answer is away from it, and whether it is still JSON."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.limits import one_of
from niah.records import Score
from niah.scorers import Scorer

_FENCED = re.compile(r"\A```\w*[ \t]*\n(.*?)\n?```\Z", re.DOTALL)


@dataclass(frozen=True)
class Copied(Scorer):
    """The whole answer has to be the target; white space around it, and the marks of a code block or of code, are no
    part of it.

    ``Score.value`` is 1 or 0 (``measure`` exact), or 1 - edits / characters of the longer of the two (similarity),
    which is 1 for the target alone. Beside it ``edit_distance`` (Levenshtein 1966: characters put in, left out or
    replaced), and where the target is JSON ``is_json``, 1 where the answer is JSON too.
    """

    name: str = "copied"
    measure: str = one_of("exact", "similarity")

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        answer, target = _bare(response), targets[0]
        distance = edit_distance(answer, target)
        longest = max(len(answer), len(target))
        value = float(distance == 0) if self.measure == "exact" else 1 - distance / longest if longest else 1.0
        beside = {"edit_distance": float(distance)}
        if _is_json(target):
            beside["is_json"] = float(_is_json(answer))
        return Score(value, answer, beside)


def edit_distance(one: str, other: str) -> int:
    """Levenshtein's, in characters."""
    one, other = sorted((one, other), key=len)
    if not one:
        return len(other)
    codes = np.array([*map(ord, other)])
    steps = np.arange(len(other) + 1)
    row = steps
    for number, character in enumerate(one, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        # what is put in: each place at most one more than the place before it
        row = np.minimum.accumulate(np.concatenate(([number], best)) - steps) + steps
    return int(row[-1])


def _bare(response: str) -> str:
    answer = response.strip()
    if fenced := _FENCED.match(answer):
        return fenced[1].strip()
    is_code = len(answer) > 2 and answer[0] == answer[-1] == "`" and "`" not in answer[1:-1]
    return answer[1:-1].strip() if is_code else answer


def _is_json(text: str) -> bool:
    """An object or an array."""
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
