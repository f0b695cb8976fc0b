"""What is planted and asked, in seven languages: one TOML file each, the same keys in all."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from niah.errors import NiahError

_FOLDER = Path(__file__).parent
CODES = ("en", "zh-Hans", "zh-Hant", "de", "es", "ja", "ar")


@cache
def load(code: str) -> dict[str, Any]:
    """The phrases of a language. Raises NiahError for one that has no file."""
    if code not in CODES:
        raise NiahError(
            f"task.language: got {code!r}; expected auto or one of {', '.join(CODES)}; or give task.needle, "
            "task.question and task.value yourself"
        )
    return tomllib.loads((_FOLDER / f"{code}.toml").read_text(encoding="utf-8"))
