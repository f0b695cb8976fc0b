"""Trials of a repeat share needle and text: what that does to intervals.

All functions work on sums over clusters (a cluster is a repeat), in the last axis; leading axes are other lengths,
cells or simulated runs. A cluster of size 0 is no cluster.
"""

from functools import lru_cache

import numpy as np
from scipy.special import ndtri, stdtrit

SHARED = 0.5
"""Correlation of the answers of a repeat that intervals assume where the data show none that could be estimated: the
largest at which they have to keep their coverage."""
WORTH = 3
"""The assumption counts as much as so many repeats that differ from the rest (``shrunk_effect``). Simulated coverage
falls to 0.913 with 0.3 for ``SHARED``, and to 0.83 where one assumes 0.1 below 3 differing repeats and nothing above
(docs/statistics.md)."""
LEAST, FEW = 0.1, 3
"""What the test of 2 to 5 repeats assumes where fewer than ``FEW`` repeats differ (``guarded_effect``): it holds its
level with that, and finds nothing with more."""


def design_effect(sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray) -> np.ndarray:
    """Variance of the mean with clusters over its variance if all trials were independent; NaN where nothing varies.

    Rao and Scott (1992), "A simple method for the analysis of clustered binary data", Biometrics 48, with the
    ratio-estimator variance and the factor R / (R - 1). ``sum_squares`` (no cluster axis) is the sum of squared values.
    """
    n, clusters = sizes.sum(-1), (sizes > 0).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums.sum(-1) / n
        clustered = clusters / (clusters - 1) * ((sums - mean[..., None] * sizes) ** 2).sum(-1) / n**2
        return np.asarray(np.where(clusters > 1, clustered / ((sum_squares / n - mean**2) / n), np.nan))


def guarded_effect(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, num_differing: np.ndarray
) -> np.ndarray:
    """``design_effect``, at least 1, and at least what ``LEAST`` implies where fewer than ``FEW`` clusters differ.

    ``num_differing``: clusters that show the rarer result.
    """
    assumed = _implied(sizes, LEAST)
    effect = design_effect(sums, sizes, sum_squares)
    effect = np.where(np.isfinite(effect), effect, assumed)
    return np.asarray(np.maximum(np.where(num_differing < FEW, np.maximum(effect, assumed), effect), 1))


def _implied(sizes: np.ndarray, correlation: float) -> np.ndarray:
    """The design effect of a correlation within clusters."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 + ((sizes.astype(float) ** 2).sum(-1) / sizes.sum(-1) - 1) * correlation)


def shrunk_effect(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, num_differing: np.ndarray
) -> np.ndarray:
    """``design_effect``, at least 1, where it is below what ``SHARED`` implies drawn towards that: by
    ``WORTH`` / (``WORTH`` + ``num_differing``), so that what few repeats show counts little. It is too small most of
    all where few repeats happen to differ, which is where an interval that believes it misses the truth."""
    effect, assumed = design_effect(sums, sizes, sum_squares), _implied(sizes, SHARED)
    effect = np.where(np.isfinite(effect), effect, assumed)
    weight = num_differing / (num_differing + WORTH)
    return np.asarray(np.maximum(weight * effect + (1 - weight) * np.maximum(effect, assumed), 1))


def effective_size(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, num_differing: np.ndarray, confidence: float,
    lone: float = 0.0,
) -> np.ndarray:
    """How many independent trials these clusters are worth, for a score interval; between the clusters and the trials.

    n / design effect x (z / t)², t with R - 1 degrees of freedom (Korn and Graubard 1998, Survey Methodology 24), never
    more than n and never fewer than the R repeats. With one trial in each cluster it is n, and with one cluster what
    the correlation ``lone`` leaves of n: by default all, which describes this one cluster.
    """
    n, clusters = sizes.sum(-1), (sizes > 0).sum(-1)
    level = (1 + confidence) / 2
    quantile = stdtrit(np.maximum(clusters - 1, 1), level)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = n / shrunk_effect(sums, sizes, sum_squares, num_differing) * (ndtri(level) / quantile) ** 2
    size = np.where(n <= clusters, n, np.maximum(size, clusters))
    return np.where(clusters < 2, n / np.maximum(1 + (n - 1) * lone, 1), size)


def wilson(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, confidence: float, lone: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a mean of values in [0, 1]: Wilson's, with the effective number of trials. NaN without trials."""
    rarer = np.minimum((sums > 1e-9).sum(-1), (sizes - sums > 1e-9).sum(-1))
    size = effective_size(sums, sizes, sum_squares, rarer, confidence, lone)
    n = sizes.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums.sum(-1) / n
        return _score_interval(mean * size, size, confidence)


def _score_interval(num_right: np.ndarray, n: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson (1927), as statsmodels has it (tests compare), which takes a second to import: each command's."""
    limit, share = -ndtri((1 - confidence) / 2), num_right / n
    wider = 1 + limit**2 / n
    middle = (share + limit**2 / (2 * n)) / wider
    half = limit * np.sqrt(share * (1.0 - share) / n + limit**2 / (4.0 * n**2)) / wider
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def student(sums: np.ndarray, sizes: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a mean of any values: cluster-robust variance, t with R - 1 degrees of freedom; NaN with one
    cluster."""
    n, clusters = sizes.sum(-1), (sizes > 0).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums.sum(-1) / n
        error = np.sqrt(clusters / (clusters - 1) * ((sums - mean[..., None] * sizes) ** 2).sum(-1)) / n
        half = stdtrit(np.maximum(clusters - 1, 1), (1 + confidence) / 2) * error
    half = np.where(clusters > 1, half, np.nan)
    return mean - half, mean + half


@lru_cache(maxsize=1)  # a report asks for the same draws for each run and threshold
def resamples(num_clusters: int, draws: int, seed: int = 0) -> np.ndarray:
    """How often each cluster is in each bootstrap sample: float (clusters, draws), not to be written to."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), size=draws).T.astype(float)
    counts.flags.writeable = False
    return counts


def bootstrap(
    sums: np.ndarray, sizes: np.ndarray, confidence: float, draws: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of a mean, repeats drawn with replacement (Efron and Tibshirani 1993, chapter 13).

    Too narrow with few repeats, and a point where all values are equal: docs/statistics.md has its coverage.
    """
    counts = resamples(sums.shape[-1], draws, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (sums.astype(float) @ counts) / (sizes.astype(float) @ counts)
    tail = (1 - confidence) / 2
    quantile = np.nanquantile if np.isnan(means).any() else np.quantile  # the former takes one row at a time
    low, high = quantile(means, [tail, 1 - tail], axis=-1)
    return low, high


def clustered(labels: np.ndarray, values: np.ndarray, num_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sizes of each cluster, both float (clusters,). ``labels`` are 0 ... clusters - 1."""
    return (
        np.bincount(labels, values, num_clusters).astype(float),
        np.bincount(labels, minlength=num_clusters).astype(float),
    )
