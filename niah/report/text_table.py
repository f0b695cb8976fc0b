"""Tables of plain text: cells set in columns, one row a line."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

Rows = list[list[Any]]
"""A line of names, then a line a row; None where there is no number."""


def aligned(rows: Iterable[Sequence[str]], widths: Sequence[int], gap: str = "  ") -> list[str]:
    """Each row as a line, ``gap`` between its cells.

    A cell is set to the right of a column of ``width`` places, to the left where the width is negative, and stands
    as it is where it is 0. A longer cell is not cut. Rows and ``widths`` are equally long.
    """
    return [gap.join(_cell(*one) for one in zip(row, widths, strict=True)) for row in rows]


def width(text: str) -> int:
    """Places of a terminal that the text takes: two for a wide character (Unicode's East Asian Width, UAX #11), none
    for a mark on the one before it."""
    return sum(
        0 if unicodedata.category(one) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _cell(text: str, size: int) -> str:
    room = " " * max(0, abs(size) - width(text))
    return text + room if size < 0 else room + text
