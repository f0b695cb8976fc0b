"""Invented runs whose truth is known: for ``power``, and to see whether intervals and tests keep their promise."""

import numpy as np
from scipy.special import ndtr, ndtri

MAX_VALUES = 4_000_000
"""Random numbers drawn at a time: keeps memory below about 100 MB."""


def _shared(rng: np.random.Generator, shape: tuple[int, ...], correlation: float) -> np.ndarray:
    """Standard normal values (..., repeats, trials) with that correlation between trials of a repeat."""
    own = rng.standard_normal(shape)
    shared = rng.standard_normal((*shape[:-1], 1))
    return np.asarray(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)


def answers(
    rng: np.random.Generator, runs: int, repeats: int, accuracies: np.ndarray, correlation: float
) -> np.ndarray:
    """Right or wrong, bool (runs, repeats, trials): trial k is right with probability ``accuracies[k]``.

    A Gaussian copula: ``correlation`` is that of the normal variables behind trials of one repeat, which is more than
    the correlation of the answers themselves.
    """
    return np.asarray(_shared(rng, (runs, repeats, len(accuracies)), correlation) < ndtri(accuracies))


def differences(
    rng: np.random.Generator, runs: int, repeats: int, trials: int, *,
    lost: float, gained: float, correlation: float,
) -> np.ndarray:
    """Score differences of paired trials, int8 (runs, repeats, trials): -1 with probability ``lost``, 1 with
    ``gained``.

    The pairs of a repeat tend to differ in the same direction, which is the worst case for a test that takes them as
    independent.
    """
    drawn = _shared(rng, (runs, repeats, trials), correlation)
    is_gained, is_lost = drawn > -ndtri(gained), drawn < ndtri(lost)
    return np.asarray(is_gained).astype(np.int8) - np.asarray(is_lost).astype(np.int8)


def batches(runs: int, values_per_run: int) -> list[int]:
    """Numbers of runs that are simulated at a time, which sum to ``runs``."""
    size = max(1, min(runs, MAX_VALUES // max(1, values_per_run)))
    return [min(size, runs - start) for start in range(0, runs, size)]


def counts(
    rng: np.random.Generator, runs: int, repeats: int, trials: int, *,
    lost: float, gained: float, correlation: float,
) -> tuple[np.ndarray, np.ndarray]:
    """How many pairs of each repeat are lost and gained, both int (runs, repeats): ``differences`` summed, drawn
    faster.

    Given what a repeat shares, its pairs are independent, so the two numbers are multinomial.
    """
    shared = np.sqrt(correlation) * rng.standard_normal((runs, repeats))
    own = np.sqrt(1 - correlation)
    with np.errstate(invalid="ignore", divide="ignore"):
        worse = ndtr((ndtri(lost) - shared) / own)
        better = ndtr((ndtri(gained) + shared) / own)
    num_lost = rng.binomial(trials, worse)
    return num_lost, rng.binomial(trials - num_lost, np.clip(better / np.maximum(1 - worse, 1e-12), 0, 1))
