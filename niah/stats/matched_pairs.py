"""Two runs over the same prompts: exact test, interval of the difference."""

import numpy as np
from scipy.special import ndtri, stdtr

from niah.stats import clusters


def mcnemar_p(num_lost: np.ndarray, num_gained: np.ndarray) -> np.ndarray:
    """p of the exact two-sided McNemar test, a binomial test of the discordant pairs, for counts of any shape.

    McNemar (1947), Psychometrika 12, equal to statsmodels' (tests compare). It takes pairs as independent; those of one
    repeat are not.
    """
    from scipy import stats  # a second, which a report of one run need not wait

    total = num_lost + num_gained
    return np.asarray(np.minimum(1.0, 2 * stats.binom.cdf(np.minimum(num_lost, num_gained), total, 0.5)))


def clustered_mcnemar_p(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, num_differing: np.ndarray
) -> np.ndarray:
    """McNemar's score test with the variance that repeats give it, on t with R - 1 degrees of freedom; for 2 to 5
    repeats.

    Eliasziw and Donner (1991), Statistics in Medicine 10, with Rao and Scott's design effect. Conservative, but unlike
    sign flips it can reject with five repeats. ``sums`` and ``sizes`` (..., repeats) of score differences.
    """
    effect = clusters.guarded_effect(sums, sizes, sum_squares, num_differing)
    distance = np.abs(sums.sum(-1)) / np.sqrt(np.maximum(sum_squares, 1e-12) * effect)
    return np.asarray(2 * stdtr(np.maximum((sizes > 0).sum(-1) - 1, 1), -distance))


def tango(
    gained: np.ndarray, lost: np.ndarray, n: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of the difference (gained - lost) / n of paired proportions.

    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, equations 8 to 10, solved by bisection to 1e-12. Counts need not be whole
    (effective sizes). Never of zero width: no discordant pair of 100 is ±3.7 points.
    """
    gained, lost, n = (np.asarray(x, float) for x in (gained, lost, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (gained - lost) / n
    limit = ndtri((1 + confidence) / 2)
    ends = []
    for sign, outer in ((1, -1.0), (-1, 1.0)):
        inside, outside = middle.copy(), np.full_like(middle, outer)
        for _ in range(42):
            tried = (inside + outside) / 2
            far = sign * _score(tried, gained, lost, n) > limit
            outside, inside = np.where(far, tried, outside), np.where(far, inside, tried)
        ends.append((inside + outside) / 2)
    return ends[0], ends[1]


def _score(difference: np.ndarray, gained: np.ndarray, lost: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Tango's statistic; the chance of a loss is the most probable one under ``difference``."""
    b = -gained - lost + (2 * n - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = (np.sqrt(np.maximum(b * b - 8 * n * c, 0)) - b) / (4 * n)
        variance = n * (2 * loss + difference * (1 - difference))
        return np.asarray((gained - lost - n * difference) / np.sqrt(np.maximum(variance, 1e-30)))


def interval(
    sums: np.ndarray, sizes: np.ndarray, gained: np.ndarray, lost: np.ndarray, sum_squares: np.ndarray,
    num_differing: np.ndarray, confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the mean difference: Tango's, its counts scaled to the effective number of trials.

    ``sums`` and ``sizes`` (..., repeats) of score differences; ``gained`` and ``lost`` are their positive and negative
    parts (counts, for right and wrong). Where scores are shares, differences are counted in units of their typical
    size, sum of squares / sum of sizes, which is 1 for right and wrong and keeps the variance. One repeat is worth at
    most two trials (``clusters.SHARED``).
    """
    n = sizes.sum(-1)
    size = clusters.effective_size(sums, sizes, sum_squares, num_differing, confidence, clusters.SHARED)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(gained + lost > 0, sum_squares / (gained + lost), 1.0)
        scale = size / n / unit
    low, high = tango(gained * scale, lost * scale, size, confidence)
    return np.maximum(low * unit, -1), np.minimum(high * unit, 1)
