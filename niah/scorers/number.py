"""The last number in the response equals the target number; separators do not matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import regex

from niah.records import Score
from niah.scorers import Scorer

_NUMBER = regex.compile(r"[-−]?\d[\d,  _]*(?:\.\d+)?")


@dataclass(frozen=True)
class Number(Scorer):
    name: str = "number"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        found = _NUMBER.findall(response)
        answer = found[-1] if found else ""
        value = _value(answer)
        hit = value is not None and any(_value(target) == value for target in targets)
        return Score(float(hit), answer.strip())


def _value(text: str) -> Decimal | None:
    try:
        return Decimal(regex.sub(r"[,  _\s]", "", text).replace("−", "-"))
    except InvalidOperation:
        return None
