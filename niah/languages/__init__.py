"""What is planted and asked, in seven languages: one TOML file each, the same keys in all."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from niah.errors import NiahError

_FOLDER = Path(__file__).parent
CODES = ("en", "zh-Hans", "zh-Hant", "de", "es", "ja", "ar")

_LEAST_LETTERS = 200
_FREQUENT = {
    "en": ("the", "of", "and", "to"), "de": ("der", "und", "die", "nicht"), "es": ("el", "los", "las", "una"),
}
"""Words of no other of these languages; together 5 to 15% of a text's."""
_LEAST_SHARE = 0.03
_SIMPLIFIED, _TRADITIONAL = "这们个国说时对会来为", "這們個國說時對會來為"


def likely(text: str) -> str:
    """The language of a text, one of ``CODES``, by its script and its most frequent words; empty where they do not
    tell."""
    num_letters = sum(map(str.isalpha, text))
    if num_letters < _LEAST_LETTERS:
        return ""

    def share(first: str, last: str) -> float:
        return sum(first <= one <= last for one in text) / num_letters

    if share("\u3041", "\u30fa") > 0.05:
        return "ja"
    if share("\u4e00", "\u9fff") > 0.3:
        simple, full = (sum(map(text.count, kind)) for kind in (_SIMPLIFIED, _TRADITIONAL))
        return "zh-Hant" if full > simple else "zh-Hans"
    if share("\u0620", "\u064a") > 0.3:
        return "ar"
    words = text.casefold().split()
    found = {code: sum(map(words.count, own)) / max(1, len(words)) for code, own in _FREQUENT.items()}
    code = max(found, key=lambda one: found[one])
    return code if found[code] >= _LEAST_SHARE and found[code] >= 2 * sorted(found.values())[-2] else ""


def load(code: str, key: str = "task.language") -> dict[str, Any]:
    """The phrases of a language. Raises NiahError for one that has no file; ``key`` is the setting that names it."""
    if code not in CODES:
        expected = f"one of {', '.join(CODES)}"
        if key == "task.language":
            raise NiahError(f"{key}: got {code!r}; expected auto or {expected}")
        raise NiahError(f"{key}: got {code!r}; expected {expected}; task.language=en plants and asks in that one")
    return _load(code)


@cache
def _load(code: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{code}.toml").read_text(encoding="utf-8"))
