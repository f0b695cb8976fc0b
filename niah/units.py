"""Lengths as people write them: ``8192``, ``8k`` (8 x 1,024), ``1m`` (2**20)."""

import re
from fractions import Fraction

from niah.errors import NiahError

_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)", re.IGNORECASE)

MAX_LENGTH = 2**40
"""Tokens: a text of them has some 4 TB. More is a slip of the finger."""
_MAX_DIGITS = 60


def parse_length(value: object, where: str) -> int:
    """Tokens meant by ``value``; ``where`` is the configuration key named in the error.

    Raises NiahError unless it is a whole number of tokens from 1 to ``MAX_LENGTH``.
    """
    text = str(value).strip().replace(",", "").replace("_", "")
    match = _LENGTH.fullmatch(text) if len(text) <= _MAX_DIGITS else None
    if match and not isinstance(value, bool):
        tokens = Fraction(match[1]) * _FACTORS[match[2].lower()]
        if tokens.denominator == 1 and 1 <= tokens <= MAX_LENGTH:
            return int(tokens)
        if tokens > MAX_LENGTH:
            raise NiahError(f"{where}: got {str(value)[:40]!r}; expected at most {MAX_LENGTH:,} tokens")
    raise NiahError(f"{where}: not a length; got {value!r}; expected tokens as 8192, 8k, 1m or 10m")


def format_length(tokens: int) -> str:
    """Short label: ``8K`` for 8,192, ``1M`` for 1,048,576, else the number with separators."""
    for suffix, factor in (("M", 1024**2), ("K", 1024)):
        if tokens >= factor and tokens % factor == 0:
            return f"{tokens // factor}{suffix}"
    return f"{tokens:,}"


def format_count(num: int, noun: str) -> str:
    """``1 trial``, ``1,760 trials``."""
    return f"{num:,} {noun}{'' if num == 1 else 's'}"


def format_seconds(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_range(low: float, high: float, unit: str = "") -> str:
    """Two ends to two digits, as ``39 to 88``; of seconds (unit s) in the unit that suits: ``1.2 to 2.7 h``."""
    size = 1.0
    if unit == "s":
        units = (("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0))
        unit, size = next((one for one in units if high < 120 * one[1]), units[-1])
    ends = (f"{end / size:.0f}" if end / size >= 10 else f"{end / size:.2g}" for end in (low, high))
    return " to ".join(ends) + (f" {unit}" if unit else "")


def format_bytes(num_bytes: float) -> str:
    """``27.7 TB``, ``3.2 GB``, ``1.5 kB``, ``999 B``: in the unit that leaves one to three digits before the point."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= 0.99995 * size:  # which is 1.0 of it, and 1,000.0 of the one below
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes:.0f} B"
