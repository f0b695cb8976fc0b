"""The graded signal: how much less probable the right answer became, in nats."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from niah.stats import clusters

_MIN_REPEATS = 6


@dataclass(frozen=True)
class Signal:
    """Mean of ``other - base`` in log-probability of the right answer (nats), negative where the other is less sure."""

    lengths: tuple[int, ...]
    num_pairs: int
    num_repeats: int
    mean: float
    low: float
    high: float
    p: float
    test: str


def signals(length: np.ndarray, repeat: np.ndarray, shift: np.ndarray, confidence: float) -> list[Signal]:
    """Overall, then each length. ``shift`` (pairs,) in nats."""
    parts = [np.ones(len(length), bool), *(length == one for one in np.unique(length))]
    return [_signal(length[part], repeat[part], shift[part], confidence) for part in parts]


def _signal(length: np.ndarray, repeat: np.ndarray, shift: np.ndarray, confidence: float) -> Signal:
    """Interval: cluster-robust t. Test: Wilcoxon's signed ranks (1945, Biometrics Bulletin 1; scipy) of the repeats'
    means.

    With fewer than 6 repeats the test takes pairs, and with one repeat so does the interval.
    """
    names, labels = np.unique(repeat, return_inverse=True)
    sums, sizes = clusters.clustered(labels, shift, len(names))
    by_repeat = len(names) >= _MIN_REPEATS
    values = sums / sizes if by_repeat else shift
    if len(names) > 1:
        low, high = clusters.student(sums, sizes, confidence)
    else:
        low, high = clusters.student(shift, np.ones_like(shift), confidence)
    p = float(stats.wilcoxon(values).pvalue) if np.any(values) else 1.0
    test = "Wilcoxon of repeats" if by_repeat else "Wilcoxon of pairs"
    return Signal(
        tuple(np.unique(length).tolist()), len(shift), len(names), float(shift.mean()), float(low), float(high), p, test
    )
