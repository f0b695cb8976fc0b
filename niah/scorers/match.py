"""Where a text occurs in a response, both in normal form: with word borders in scripts that have them."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_UNSPACED = frozenset(
    ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR", "BOPOMOFO")
)
"""Scripts written without spaces, by the first word of their characters' names: they have no border to look for."""
_CLITICS = frozenset("وفبلك")
"""One-letter words (and, so, in, for, like) that Arabic writes joined to the next."""
_CONTROL = re.compile(r"[\x00-\x1f]")
_HEAD = re.compile(r"[^\W_]*")
_TAIL = re.compile(r"[^\W_]*\Z")


def holds(said: Sequence[str], text: str) -> bool:
    """Whether ``text`` occurs in one of the readings of a response; all of them in normal form."""
    return any(place(one, text) is not None for one in said)


def place(response: str, text: str) -> int | None:
    """The character where ``text`` first occurs, or None; both in normal form.

    "art" is not in "start", and no digit stands beside a number: 4829173 is in "4829173kg", not in "14829173".
    """
    if not text:
        return None
    start = response.find(text)
    while start >= 0:
        if _begins(response, start, text) and _ends(response, start + len(text), text):
            return start
        start = response.find(text, start + 1)
    return None


def has_substring(response: str, text: str) -> bool:
    """RULER's rule (evaluate.py, eval/synthetic/constants.py): lower case alone, anywhere, no normal form."""
    return text.lower() in _CONTROL.sub("\n", response.strip()).strip().lower()


def _begins(response: str, start: int, text: str) -> bool:
    if start == 0 or _may_stand_beside(response[start - 1], text[0], _is_digits(_HEAD, text)):
        return True
    is_joined = _script(text[0]) == "ARABIC" and response[start - 1] in _CLITICS
    return is_joined and (start == 1 or _may_stand_beside(response[start - 2], text[0], is_number=False))


def _ends(response: str, stop: int, text: str) -> bool:
    return stop == len(response) or _may_stand_beside(response[stop], text[-1], _is_digits(_TAIL, text))


def _is_digits(run: re.Pattern[str], text: str) -> bool:
    """The letters and digits at that end of the text are digits alone: of a UUID they mostly are not."""
    found = run.search(text)
    return found is not None and found[0].isdigit()


def _may_stand_beside(other: str, own: str, is_number: bool) -> bool:
    """Whether a word with the character ``own`` at its edge ends there, where ``other`` is the next one."""
    outer, inner = _script(other), _script(own)
    if is_number:
        return outer != "DIGIT"
    if not inner or not outer:
        return True
    return outer not in (inner, "DIGIT", "MARK") and inner != "DIGIT"


@lru_cache(2**14)
def _script(character: str) -> str:
    """DIGIT, MARK (an accent that stands alone) or a letter's script; empty for the rest and for unspaced scripts."""
    category = unicodedata.category(character)
    if category[0] == "N":
        return "DIGIT"
    if category[0] not in "LM":
        return ""
    if category == "Mn":
        return "MARK"
    script = unicodedata.name(character, "").partition(" ")[0]
    return "" if script in _UNSPACED else script
