"""Accuracy with a Wilson interval, per cell, per length and overall.

Wilson (1927), "Probable inference, the law of succession, and statistical inference". It is never a
point: one right answer of one is [0.21, 1.00] at 95%. Where trials of one repeat are pooled, the interval takes their
number as what they are worth (``clusters.effective_size``).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from niah.records import Outcome, Row
from niah.stats import clusters

CONFIDENCE = 0.95


@dataclass(frozen=True)
class CellStats:
    """Accuracy of one (length, depth), or of a whole length. Unanswered: n = 0 and mean is NaN."""

    length: int
    depth: float | None
    mean: float
    low: float
    high: float
    n: int
    errors: int
    outcomes: dict[str, int] = field(default_factory=dict)


def by_cell(rows: Iterable[Row]) -> dict[tuple[int, float], CellStats]:
    """Statistics of every (length, depth) that has a row."""
    cells: dict[tuple[int, float], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.length, row.depth), []).append(row)
    return {key: _stats(key[0], key[1], members) for key, members in sorted(cells.items())}


def by_length(rows: Iterable[Row]) -> list[CellStats]:
    """Statistics of every length, its depths pooled.

    Trials of one repeat share needle and text: the interval counts repeats. With a single repeat it cannot,
    and describes this one problem.
    """
    lengths: dict[int, list[Row]] = {}
    for row in rows:
        lengths.setdefault(row.length, []).append(row)
    return [_stats(length, None, members) for length, members in sorted(lengths.items())]


def overall(rows: Sequence[Row], confidence: float = CONFIDENCE) -> CellStats:
    """All cells pooled; ``length`` is 0."""
    return _stats(0, None, rows, confidence=confidence)


def mean_logprob(rows: Iterable[Row]) -> dict[tuple[int, float], float]:
    """Mean log-probability of the right answer (nats) in every cell where it was measured."""
    cells: dict[tuple[int, float], list[float]] = {}
    for row in rows:
        if row.logprob is not None:
            cells.setdefault((row.length, row.depth), []).append(row.logprob)
    return {key: sum(values) / len(values) for key, values in cells.items()}


def false_alarms(rows: Sequence[Row]) -> CellStats:
    """The share of answers that name something where nothing is: not right, no refusal, not cut off, not silent."""
    return _stats(0, None, rows, lambda row: float(row.outcome == Outcome.WRONG and row.answer != ""))


def _stats(
    length: int, depth: float | None, rows: Sequence[Row], value: Callable[[Row], float] = lambda row: row.score or 0.0,
    confidence: float = CONFIDENCE,
) -> CellStats:
    answered = [row for row in rows if row.is_answered]
    n = len(answered)
    values = np.array([value(row) for row in answered], dtype=float)
    low = high = math.nan
    if n:
        repeats, labels = np.unique([row.repeat for row in answered], return_inverse=True)
        sums, sizes = clusters.clustered(labels, values, len(repeats))
        low, high = map(float, clusters.wilson(sums, sizes, (values**2).sum(), confidence))
    return CellStats(
        length=length,
        depth=depth,
        mean=float(values.sum()) / n if n else math.nan,
        low=low,
        high=high,
        n=n,
        errors=len(rows) - n,
        outcomes=dict(Counter(row.outcome for row in rows)),
    )
