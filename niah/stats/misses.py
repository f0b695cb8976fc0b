"""Why a reader that retrieves was wrong: the text was not there, or it was there and was not read."""

from collections.abc import Iterable
from dataclasses import dataclass

from niah.records import Row


@dataclass(frozen=True)
class Misses:
    """Counts of answers at one length (0: all). ``num_right`` + ``reading`` + ``split`` + ``missed`` = ``num_answers``.

    ``reading``: wrong with all needed needles shown whole. ``missed``: wrong, a needed needle not shown at all;
    ``split``: wrong, none missed but one in parts. ``right_without``: those right although a needed needle was not
    shown whole.
    """

    length: int
    num_answers: int
    num_right: int
    reading: int
    split: int
    missed: int
    right_without: int

    @property
    def retrieval(self) -> int:
        return self.split + self.missed


def by_length(rows: Iterable[Row]) -> list[Misses]:
    """One a length with answers, then all together."""
    answered = [row for row in rows if row.is_answered]
    lengths: dict[int, list[Row]] = {}
    for row in answered:
        lengths.setdefault(row.length, []).append(row)
    return [*(_counted(length, members) for length, members in sorted(lengths.items())), _counted(0, answered)]


def fate(row: Row) -> str:
    """What became of the needles that an answer takes: shown, split or missed.

    ``needles_kept`` is about the last step: a reader that went on to read everything was shown all.
    """
    needed = len(row.needles_kept) if row.num_needed is None else row.num_needed
    if all(row.needles_kept[:needed]):
        return "shown"
    lost = [found for found, kept in zip(row.needles_retrieved[:needed], row.needles_kept, strict=False) if not kept]
    return "split" if lost and "missed" not in lost else "missed"


def _counted(length: int, rows: list[Row]) -> Misses:
    right = [row for row in rows if (row.score or 0.0) >= 1]
    wrong = [fate(row) for row in rows if (row.score or 0.0) < 1]
    return Misses(
        length, len(rows), len(right), wrong.count("shown"), wrong.count("split"), wrong.count("missed"),
        sum(fate(row) != "shown" for row in right),
    )
