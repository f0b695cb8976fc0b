"""The last number in the response equals the target number, in digits or, where it has no digits, in words."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache

from niah import languages
from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.normal_form import normal, plain, readings

_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_DECIMAL = re.compile(r"(?<!\d)(?<!\d[.,])\d{1,3}[.,]\d{3}(?!\d)(?![.,]\d)")
"""``1.234`` and ``1,234``: thousands, or a fraction."""
_COMMA = re.compile(r"\d+,\d{1,2}\Z")
_TENS = range(30, 101, 10)
_WEAK = frozenset(("once", "elf"))
"""Number words of one language that are other words in another."""


@dataclass(frozen=True)
class Number(Scorer):
    """What can be read in two ways (``1.234``, ``5,6``, ``answer:-7``) is right where one of them is."""

    name: str = "number"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        wanted = {value for target in targets for value in _values(target)}
        answer, found = named(response)
        return Score(float(not wanted.isdisjoint(found)), answer)


def named(response: str) -> tuple[str, set[Decimal]]:
    """The last number of a response as it stands there, and every value that it may have; empty where there is none."""
    answer = _last(normal(response))
    if answer:
        return answer, set(_values(response))
    answer, value = _in_words(normal(response))
    return answer, set() if value is None else {Decimal(value)}


def _values(text: str) -> Iterator[Decimal]:
    """Every value that the last number of the text may have."""
    for said in readings(text):
        if answer := _last(said):
            for sign in _signs(said, said.rfind(answer)):
                yield from _decimals(sign + answer)
            comma = _COMMA.search(said[: said.rfind(answer) + len(answer)][-40:])
            if comma:
                yield from _decimals(comma[0].replace(",", "."))
    whole = plain(text)
    either = deque(_DECIMAL.finditer(whole), maxlen=1)
    if either and not any(map(str.isdigit, whole[either[0].end() :])):
        yield from _decimals(either[0][0].replace(",", "."))


def _decimals(text: str) -> Iterator[Decimal]:
    try:
        yield Decimal(text)
    except InvalidOperation:  # digits beyond what a Decimal holds
        return


def _last(said: str) -> str:
    """The last number in digits, without sign; empty where there is none."""
    found = deque(_DIGITS.finditer(said), maxlen=1)
    return str(found[0][0]) if found else ""


def _signs(said: str, start: int) -> tuple[str, ...]:
    """What a minus before the number is: "5-7" and "- 7" have none, "answer:-7" may have one."""
    if start == 0 or said[start - 1] != "-":
        return ("",)
    before = said[max(0, start - 3) : start - 1]
    if before.endswith(":") and before != '":':
        return "", "-"
    return ("",) if before and (before[-1].isalnum() or before[-1] in ")]-") else ("-",)


def _in_words(said: str) -> tuple[str, int | None]:
    """The last number word and its value; "one", which is an article in many languages, only where it is the only."""
    found = [(word[0], _words()[word[0]]) for word in _pattern().finditer(said)]
    strong = [one for one in found if one[1] != 1 and one[0] not in _WEAK]
    return (strong or found)[-1] if found else ("", None)


@cache
def _words() -> dict[str, int]:
    """Number words of all languages in normal form."""
    known: dict[str, int] = {}
    for code in languages.CODES:
        own = languages.load(code)["numbers"]
        forms = [[normal(form) for form in entry.split("|")] for entry in own["words"]]
        values = {number: forms[place] for place, number in enumerate((*range(21), *_TENS))}
        for tens in range(20, 100, 10):
            for unit in range(1, 10):
                compound = [
                    normal(form.format(tens=ten, unit=one))
                    for form in own["compounds"] for ten in values[tens] for one in values[unit]
                ]
                values[tens + unit] = compound
        for entry in own["contracted"]:
            number, _, written = entry.partition("=")
            values[int(number)] = [*values[int(number)], *map(normal, written.split("|"))]
        known |= {form: number for number, found in values.items() for form in found if form not in known}
    return known


@cache
def _pattern() -> re.Pattern[str]:
    """Borders where the script has them; in Arabic the conjunction may be joined to the word."""
    by_length = sorted(_words(), key=len, reverse=True)
    spaced = "|".join(re.escape(word) for word in by_length if _is_spaced(word))
    joined = "|".join(re.escape(word) for word in by_length if not _is_spaced(word))
    return re.compile(rf"(?<![^\W\d_])(?:{spaced})(?![^\W\d_])|(?:{joined})")


def _is_spaced(word: str) -> bool:
    return not "\u3040" <= word[0] <= "\u9fff"
