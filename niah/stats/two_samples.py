"""Two runs without common prompts: weaker, since the prompts differ too."""

import numpy as np

from niah.stats import clusters

NONE = "no test"
"""Stands where a test's name would: too few repeats for any."""
MIN_REPEATS = 4
"""Of each run; below, exchanging repeats cannot reach p = 0.05 (2 / 70 with four of each)."""


def mover(
    base: np.ndarray, base_ends: tuple, other: np.ndarray, other_ends: tuple, factor: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of ``other - factor x base`` from the intervals of both (square and add).

    Newcombe (1998), Statistics in Medicine 17, method 10 of the unpaired paper; Zou and Donner (2008) for a factor.
    """
    middle = other - factor * base
    low = middle - np.hypot(other - other_ends[0], factor * (base_ends[1] - base))
    high = middle + np.hypot(other_ends[1] - other, factor * (base - base_ends[0]))
    return low, high


def difference(
    sums_a: np.ndarray, sizes_a: np.ndarray, sums_b: np.ndarray, sizes_b: np.ndarray, confidence: float
) -> tuple:
    """The fields of a ``Difference`` after its depth, from sums and sizes of each repeat.

    Interval: ``mover`` of the Wilson intervals with effective trials. Test: repeats exchanged between the runs (scipy's
    permutation test) where both have at least 4. Below there is none, p is NaN: a test that takes trials as
    independent finds a difference between equal runs in up to two thirds of cases.
    """
    n_a, n_b = sizes_a.sum(), sizes_b.sum()
    base, other = sums_a.sum() / n_a, sums_b.sum() / n_b
    # for scores that are shares the sum of squares is at most the sum: the wide side
    low, high = mover(
        base, clusters.wilson(sums_a, sizes_a, sums_a.sum(-1), confidence, clusters.SHARED),
        other, clusters.wilson(sums_b, sizes_b, sums_b.sum(-1), confidence, clusters.SHARED),
    )
    repeats_a, repeats_b = sizes_a > 0, sizes_b > 0
    num_repeats = int(min(repeats_a.sum(), repeats_b.sum()))
    if num_repeats >= MIN_REPEATS:
        means = sums_a[repeats_a] / sizes_a[repeats_a], sums_b[repeats_b] / sizes_b[repeats_b]
        p, test = exchanged(*means), "repeats exchanged"
    else:
        p, test = float("nan"), NONE
    return (
        int(min(n_a, n_b)), num_repeats, float(base), float(other), float(other - base), float(low), float(high),
        0, 0, float("nan"), p, test,
    )


def exchanged(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p of the difference of means, values dealt anew to the two runs: all ways, or 9,999 seeded ones."""
    from scipy import stats  # a second, which a report of one run need not wait

    found = stats.permutation_test(
        (a, b), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), permutation_type="independent",
        n_resamples=9999, rng=np.random.default_rng(0), vectorized=True, batch=1000,
    )
    return float(min(1.0, found.pvalue))
