"""From which length on a retrieving reader is the better choice, with an interval that counts repeats."""

from dataclasses import dataclass

import numpy as np

from niah.stats import clusters
from niah.stats.comparison import Answers, Comparison
from niah.stats.effective_length import leading

MIN_BOOTSTRAP = 30
"""Repeats from which the bootstrap covers what it promises for "better"; for "not worse" it never does
(docs/statistics.md)."""

_BY_INTERVALS = "the lengths that their own intervals do not rule out"


@dataclass(frozen=True)
class Crossing:
    """The first of ``lengths`` from which the condition holds up to the last one; None: not within the ladder.

    ``condition`` is better (the difference is above 0) or not worse (it is -margin or above). ``low`` and ``high`` are
    the interval's ends, likewise; ``method`` says where they come from. ``is_shown``: the interval ends within the
    ladder, and for better a test found a gain too; else ``length`` is what was seen, which may be chance.
    """

    condition: str
    lengths: tuple[int, ...]
    length: int | None
    low: int | None
    high: int | None
    method: str
    is_shown: bool

    @property
    def is_excluded(self) -> bool:
        """Ruled out at the ladder's last length, and so from any on."""
        return self.low is None


def crossings(
    full: Answers, other: Answers, against: Comparison, margin: float, confidence: float
) -> list[Crossing]:
    """Better, then not worse by ``margin``. Both sides paired and in the same order; ``against`` is what was found of
    them.

    Interval: every length that the lengths' own intervals do not rule out; for better, from 30 repeats on, the narrower
    cluster bootstrap.
    """
    lengths, place = np.unique(full.length, return_inverse=True)
    repeats, cluster = np.unique(full.repeat, return_inverse=True)
    shape = (len(lengths), len(repeats))
    sums, sizes = (
        np.bincount(place * shape[1] + cluster, weights, shape[0] * shape[1]).reshape(shape).astype(float)
        for weights in (other.score - full.score, None)
    )
    low, high = np.array([one.low for one in against.lengths]), np.array([one.high for one in against.lengths])
    tested = (against.overall, *against.lengths)
    has_gain = any(one.difference > 0 and one.is_significant(confidence) for one in tested)
    found = []
    for condition, limit in (("better", 1e-9), ("not worse", 1e-9 - margin)):
        is_drawn = condition == "better" and len(repeats) >= MIN_BOOTSTRAP
        ends = bootstrap(sums, sizes, limit, confidence) if is_drawn else from_intervals(low, high, limit)
        seen = int(first_passing(sums.sum(-1) / sizes.sum(-1) >= limit))
        places = seen, min(seen, int(ends[0])), max(seen, int(ends[1]))  # a percentile may pass by what was seen
        length, first, last = (int(lengths[one]) if one < len(lengths) else None for one in places)
        method = f"cluster bootstrap of {len(repeats)} repeats" if is_drawn else _BY_INTERVALS
        is_shown = last is not None and (has_gain or condition != "better")
        found.append(Crossing(condition, tuple(lengths.tolist()), length, first, last, method, is_shown))
    return found


def first_passing(passes: np.ndarray) -> np.ndarray:
    """Number of the first length (last axis) from which all pass; the number of lengths where the last one does not."""
    return np.asarray(passes.shape[-1] - leading(passes[..., ::-1]))


def from_intervals(low: np.ndarray, high: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends (numbers of lengths) from the intervals of the differences, both (..., lengths): all may pass, all do
    pass."""
    return first_passing(high >= limit), first_passing(low >= limit)


def bootstrap(sums: np.ndarray, sizes: np.ndarray, limit: float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of the crossing in 2,000 samples of repeats with replacement; ``sums`` and ``sizes`` (lengths,
    repeats)."""
    counts = clusters.resamples(sums.shape[-1], 2000)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (sums @ counts) / (sizes @ counts)
    tail = (1 - confidence) / 2
    low, high = np.quantile(first_passing((drawn >= limit).T), [tail, 1 - tail], method="inverted_cdf")
    return low, high
