"""When a difference is significant: Holm's p over a family of tests, and intervals that say what the test says."""

import numpy as np

_ROUNDING = 1e-12
NONZERO = 1e-8
"""The end of an interval whose test has excluded 0, where the interval's own method would reach it."""


def is_below(p: float, confidence: float) -> bool:
    """Whether this p is significant; NaN, where there is no test, is not."""
    return bool(p <= 1 - confidence + _ROUNDING)


def following(
    low: np.ndarray | float, high: np.ndarray | float, difference: np.ndarray | float, p: np.ndarray | float,
    confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
    """An interval's ends after its test: it leaves 0 out where p is at most 1 - ``confidence``, and only there.

    Interval and test are different methods that disagree at the border. The test holds its level for whatever trials
    of a repeat have in common, so it decides about 0: where it does not reject (or there is none, p is NaN) the
    interval reaches 0, and where it rejects the interval ends before 0. Asking that both agree costs up to 21 points of
    power and makes nothing more certain (docs/statistics.md).
    """
    rejects, sign = np.asarray(p) <= 1 - confidence + _ROUNDING, np.sign(difference)
    low, high = np.where(rejects, low, np.minimum(low, 0)), np.where(rejects, high, np.maximum(high, 0))
    above, below = rejects & (sign > 0), rejects & (sign < 0)
    return np.where(above, np.maximum(low, NONZERO), low), np.where(below, np.minimum(high, -NONZERO), high)


def picked_confidence(confidence: float, num_picked: int, num_all: int) -> float:
    """Of an interval of what was picked from so many after looking, for their being significant.

    Benjamini and Yekutieli (2005), Journal of the American Statistical Association 100: the false coverage rate.
    """
    return 1 - (1 - confidence) * num_picked / num_all


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, of those that are not NaN. As statsmodels has them (tests compare), whose function
    collects garbage: 0.1 s a call."""
    order = np.argsort(p)  # NaN last
    known = np.isfinite(p).sum()
    adjusted, order = np.full(len(p), np.nan), order[:known]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(known, 0, -1)))
    return adjusted
