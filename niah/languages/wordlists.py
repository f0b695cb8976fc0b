"""English nouns, adjectives and verbs of the package wonderwords: RULER's own word lists."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from niah.errors import NiahError


@cache
def words(kind: str) -> tuple[str, ...]:
    """``kind`` is noun, adjective or verb. Raises NiahError where the package is missing."""
    spec = find_spec("wonderwords")
    if spec is None or spec.origin is None:
        raise NiahError("wordlists: package wonderwords is not installed; pip install wonderwords")
    file = Path(spec.origin).parent / "assets" / f"{kind}list.txt"
    return tuple(sorted({line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()}))


def pair(rng: np.random.Generator) -> str:
    """``adjective-noun``, as RULER's keys (niah.py: words)."""
    adjectives, nouns = words("adjective"), words("noun")
    return f"{adjectives[rng.integers(len(adjectives))]}-{nouns[rng.integers(len(nouns))]}"


@cache
def all_words() -> tuple[str, ...]:
    """All three lists together, as RULER's common_words_extraction.py uses them."""
    return tuple(sorted({word for kind in ("noun", "adjective", "verb") for word in words(kind)}))
