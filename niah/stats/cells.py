"""Accuracy with a Wilson interval, per cell and per length.

Wilson (1927), "Probable inference, the law of succession, and statistical inference", as computed by
statsmodels. It is never a point: one right answer of one is [0.21, 1.00] at 95%.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from statsmodels.stats.proportion import proportion_confint

from niah.records import CellStats, Outcome, Row

CONFIDENCE = 0.95


def by_cell(rows: Iterable[Row]) -> dict[tuple[int, float], CellStats]:
    """Statistics of every (length, depth) that has a row."""
    cells: dict[tuple[int, float], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.length, row.depth), []).append(row)
    return {key: _stats(key[0], key[1], members) for key, members in sorted(cells.items())}


def by_length(rows: Iterable[Row]) -> list[CellStats]:
    """Statistics of every length, its depths pooled.

    Trials of one length share needle and text within a repeat, so the interval is too narrow where
    repeats are few; it describes this sample of problems.
    """
    lengths: dict[int, list[Row]] = {}
    for row in rows:
        lengths.setdefault(row.length, []).append(row)
    return [_stats(length, None, members) for length, members in sorted(lengths.items())]


def false_alarms(rows: Sequence[Row]) -> CellStats:
    """The share of answers that name something where nothing is: not right, no refusal, not cut off."""
    return _stats(0, None, rows, lambda row: float(row.outcome == Outcome.WRONG))


def _stats(
    length: int, depth: float | None, rows: Sequence[Row], value: Callable[[Row], float] = lambda row: row.score or 0.0
) -> CellStats:
    answered = [row for row in rows if Outcome(row.outcome).is_answer]
    n = len(answered)
    total = sum(map(value, answered))
    low, high = proportion_confint(total, n, alpha=1 - CONFIDENCE, method="wilson") if n else (math.nan, math.nan)
    return CellStats(
        length=length,
        depth=depth,
        mean=total / n if n else math.nan,
        low=float(low),
        high=float(high),
        n=n,
        errors=len(rows) - n,
        outcomes=dict(Counter(row.outcome for row in rows)),
    )
