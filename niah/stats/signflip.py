"""A test of "no difference" that holds whatever the trials of one repeat have in common."""

from math import gcd

import numpy as np

DRAWS = 9999
_ALL = 13
"""Clusters whose patterns are fewer than ``DRAWS``."""
_STEPS = 2520
"""Scores are multiples of 1/1 ... 1/10; this makes them whole numbers."""
_MAX_TOTAL = 2_000_000


def p_value(sums: np.ndarray) -> float:
    """Two-sided p of the sum of the clusters' differences, every cluster's sign turned at random.

    If the two runs are exchangeable, swapping them within a whole repeat changes nothing, so all sign patterns are
    equally probable (Fisher 1935, The Design of Experiments, section 21; Winkler et al. 2015 for whole-block
    flips). Exact over all 2^R patterns, by convolution, where sums are multiples of 1/2520, and by scipy's
    permutation test up to 13 clusters; from 9,999 seeded draws else.
    """
    sums = sums[np.abs(sums) > 1e-9]
    if not len(sums):
        return 1.0
    steps = sums * _STEPS
    whole = np.rint(steps).astype(np.int64)
    if np.abs(steps - whole).max() < 1e-4:
        sizes = np.abs(whole) // gcd(*np.abs(whole).tolist())
        if sizes.sum() * len(sizes) <= 100 * _MAX_TOTAL and sizes.sum() <= _MAX_TOTAL:
            return _exact(sizes, abs(int(whole.sum())) * int(sizes[0]) // abs(int(whole[0])))
    if len(sums) <= _ALL:
        from scipy import stats  # a second, which a report of one run need not wait

        found = stats.permutation_test(
            (sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=DRAWS, vectorized=True
        )
        return float(min(1.0, found.pvalue))
    return _drawn(sums)


def _drawn(sums: np.ndarray) -> float:
    """From seeded patterns, with the one that was observed among them. scipy's takes 0.4 s for 1,000 clusters, this a
    tenth."""
    rng, observed, reached, size = np.random.default_rng(0), abs(sums.sum()) * (1 - 1e-12), 0, len(sums)
    for start in range(0, DRAWS, 1000):
        drawn = rng.integers(0, 256, (min(1000, DRAWS - start), -(-size // 8)), np.uint8)
        plus = np.unpackbits(drawn, axis=1, count=size)
        reached += int((np.abs(2 * (plus @ sums) - sums.sum()) >= observed).sum())
    return (reached + 1) / (DRAWS + 1)


def _exact(sizes: np.ndarray, observed: int) -> float:
    """P(|sum of ±sizes| >= observed): the distribution of the sum of those with sign +, one cluster at a time."""
    total = int(sizes.sum())
    chances = np.zeros(total + 1)
    chances[0], reached = 1.0, 0
    for size in sizes.tolist():
        chances[: reached + size + 1] *= 0.5
        chances[size : reached + size + 1] += chances[: reached + 1].copy()
        reached += size
    difference = np.abs(2 * np.arange(total + 1) - total)
    return float(min(1.0, chances[difference >= observed].sum()))


def p_values(sums: np.ndarray, draws: int = 1999, seed: int = 0) -> np.ndarray:
    """The same for many simulated runs (runs, clusters): all patterns up to 2^11, else ``draws`` seeded ones."""
    num_clusters = sums.shape[-1]
    if num_clusters <= 11:
        bits = np.arange(2**num_clusters)[:, None] >> np.arange(num_clusters) & 1
        added = 0
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (draws, num_clusters))
        added = 1
    signs = (2 * bits - 1).T.astype(np.float32)
    observed = np.abs(sums.sum(-1)) - 1e-4
    p = np.empty(len(sums))
    for start in range(0, len(sums), 500):
        part = slice(start, start + 500)
        reached = np.abs(sums[part].astype(np.float32) @ signs) >= observed[part, None]
        p[part] = (reached.sum(-1) + added) / (signs.shape[1] + added)
    return p


def smallest_p(num_clusters: int) -> float:
    """What the test can reach at most: all clusters differ, in one direction."""
    return min(1.0, 2.0 ** (1 - num_clusters))
