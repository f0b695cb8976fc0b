"""Tables of plain text: cells set in columns, one row a line."""

from collections.abc import Iterable, Sequence
from typing import Any

Rows = list[list[Any]]
"""A line of names, then a line a row; None where there is no number."""


def aligned(rows: Iterable[Sequence[str]], widths: Sequence[int], gap: str = "  ") -> list[str]:
    """Each row as a line, ``gap`` between its cells.

    A cell is set to the right of a column of ``width`` characters, to the left where the width is negative, and stands
    as it is where it is 0. A longer cell is not cut. Rows and ``widths`` are equally long.
    """
    return [gap.join(_cell(*one) for one in zip(row, widths, strict=True)) for row in rows]


def _cell(text: str, width: int) -> str:
    return text.ljust(-width) if width < 0 else text.rjust(width)
