"""What difference a grid of paired trials can find, and how many repeats a wanted one needs: by simulating the
verdict's test."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

from niah.stats import clusters, matched_pairs, signal, signflip, simulation
from niah.stats.comparison import MIN_REPEATS, Answers, Difference
from niah.stats.signal import Signal

MAX_REPEATS = 2000
_RUNS = 2000
_NORMAL = 100
"""Above so many repeats simulations take sign flips' normal limit, which is as exact as 1,999 drawn patterns."""
WANTED, _FEW_RUNS, FEW_REPEATS = 0.8, 400, 640
"""``resolution``: the power it asks for, and what keeps it below a second or two."""
GOALS = (0.1, 0.05)
"""Losses whose repeats ``resolution`` tells."""
_LARGEST_EFFECT = 50.0
"""Standard deviations of the repeats' means; what ``graded_detectable`` tries first."""
_NEAR = 0.001
"""A distance, as a share, below which no number of repeats is told."""
_ASSUMED = 0.3
"""Correlation within a repeat where the data show none that could be estimated."""


@dataclass(frozen=True)
class Assumptions:
    """How two runs differ when nothing is wrong, and how alike the trials of a repeat are.

    ``discordant``: share of pairs that differ by chance, half of them each way. ``correlation``: of the normal
    variables behind the trials of a repeat (``simulation.differences``).
    """

    discordant: float
    correlation: float


@dataclass(frozen=True)
class Resolution:
    """What a comparison could have found with 80%, at the discordance and correlation of its own data.

    ``loss`` (0 to 1) is the smallest, None where not even the largest is. ``repeats`` are those that find each loss of
    ``GOALS``; None for more than ``most`` repeats.
    """

    loss: float | None
    repeats: tuple[int | None, ...]
    most: int = FEW_REPEATS


def resolution(a: Answers, b: Answers, is_paired: bool, found: Difference, confidence: float) -> Resolution:
    """For a difference ``found`` between two runs' answers, in a second or two."""
    if not is_paired:
        return _unpaired(found, confidence)
    shift = b.score - a.score
    names, labels = np.unique(a.repeat, return_inverse=True)
    repeats, trials = len(names), max(1, round(len(shift) / len(names)))
    assumed, alpha = assumptions(shift, labels, repeats), 1 - confidence
    return Resolution(
        detectable(repeats, trials, assumed, alpha, WANTED, _FEW_RUNS),
        tuple(
            repeats_for(goal, trials, assumed, alpha, WANTED, _FEW_RUNS, FEW_REPEATS)
            if goal + assumed.discordant / 2 < 1 else None for goal in GOALS
        ),
    )


def repeats_for_margin(shift: np.ndarray, repeat: np.ndarray, distance: float, alpha: float) -> int | None:
    """The fewest repeats that tell, with 80%, paired score differences (pairs,) of these repeats from a margin that
    lies ``distance`` (-1 to 1) away, at their own discordance and correlation; None for more than ``FEW_REPEATS``."""
    names, labels = np.unique(repeat, return_inverse=True)
    assumed = assumptions(shift, labels, len(names))
    loss, trials = min(abs(distance), 0.99 - assumed.discordant / 2), max(1, round(len(shift) / len(names)))
    if loss < _NEAR:
        return None
    found = repeats_for(loss, trials, assumed, alpha, WANTED, _FEW_RUNS, FEW_REPEATS)
    return max(found, len(names) + 1) if found else None


def repeats_to_part(scores: np.ndarray, repeat: np.ndarray, bound: float, confidence: float) -> int | None:
    """The fewest repeats from which on an accuracy's interval leaves ``bound`` out, if further repeats answer as those
    of these scores (trials,) in [0, 1] did; None for more than ``FEW_REPEATS``."""
    names, labels = np.unique(repeat, return_inverse=True)
    sums, sizes = clusters.clustered(labels, scores, len(names))
    squares, _ = clusters.clustered(labels, scores**2, len(names))

    def is_parted(repeats: int) -> bool:
        again = np.arange(repeats) % len(names)
        low, high = clusters.wilson(sums[again], sizes[again], squares[again].sum(), confidence)
        return bool(low >= bound or high < bound)

    found = fewest(is_parted, FEW_REPEATS)
    return max(found, len(names) + 1) if found else None


def assumptions(shift: np.ndarray, labels: np.ndarray, repeats: int) -> Assumptions:
    """Of paired score differences (pairs,), taken to differ by chance; ``labels`` are 0 ... repeats - 1."""
    lost, gained = float((shift < -1e-9).mean()), float((shift > 1e-9).mean())
    sums, sizes = clusters.clustered(labels, shift, repeats)
    discordant, _ = clusters.clustered(labels, np.abs(shift) > 1e-9, repeats)
    effect = float(clusters.guarded_effect(sums, sizes, (shift**2).sum(), (discordant > 0).sum()))
    per_repeat = float((sizes**2).sum() / sizes.sum())
    correlation = _ASSUMED
    if lost + gained and per_repeat > 1 and repeats > 2:
        correlation = latent_correlation(lost, gained, (effect - 1) / (per_repeat - 1))
    return Assumptions(max(lost + gained, 1 / len(shift)), correlation)


def _unpaired(found: Difference, confidence: float) -> Resolution:
    """From the width of the interval, which shrinks with the square root of the repeats: a power of 80% needs 1.43
    times the distance that is significant at 95%. As wide as it is for few repeats, it asks for too many rather than
    too few."""
    if not found.has_test:
        return Resolution(None, (None,) * len(GOALS))
    limit, wanted = ndtri((1 + confidence) / 2), ndtri(WANTED)
    loss = float((found.difference - found.low) * (limit + wanted) / limit)
    needed = [max(4, math.ceil(found.num_repeats * (loss / goal) ** 2)) for goal in GOALS]
    return Resolution(loss if loss < 1 else None, tuple(one if one <= FEW_REPEATS else None for one in needed))


def power(
    difference: float, repeats: int, trials: int, assumed: Assumptions, alpha: float, runs: int = _RUNS, seed: int = 0
) -> float:
    """Probability that the verdict's test calls a loss of ``difference`` (0 to 1) significant at ``alpha``, two-sided.

    ``trials`` are those of one repeat that the test pools. Simulated; standard error at most 0.011.
    """
    lost, gained = assumed.discordant / 2 + difference, assumed.discordant / 2
    rng = np.random.default_rng(seed)
    found = 0
    for size in simulation.batches(runs, repeats):
        worse, better = simulation.counts(
            rng, size, repeats, trials, lost=lost, gained=gained, correlation=assumed.correlation
        )
        found += int((rejected(worse, better, trials, alpha) & (worse.sum(-1) > better.sum(-1))).sum())
    return found / runs


def rejected(worse: np.ndarray, better: np.ndarray, trials: int, alpha: float) -> np.ndarray:
    """Bool (runs,): what ``compare`` decides for counts of lost and gained pairs, both (runs, repeats)."""
    return p_values(worse, better, trials) <= alpha + 1e-12


def p_values(worse: np.ndarray, better: np.ndarray, trials: int) -> np.ndarray:
    """The p that decides (``stats.comparison``), for many simulated comparisons."""
    repeats, sums = worse.shape[-1], (better - worse).astype(float)
    if repeats == 1:
        return np.full(len(sums), np.nan)  # no test: never found
    if trials == 1:
        return matched_pairs.mcnemar_p(worse.sum(-1), better.sum(-1))
    if repeats > _NORMAL:
        return np.asarray(2 * ndtr(-np.abs(sums.sum(-1)) / np.sqrt(np.maximum((sums**2).sum(-1), 1e-12))))
    if repeats >= MIN_REPEATS:
        return signflip.p_values(sums)
    sizes = np.full(sums.shape, float(trials))
    return matched_pairs.clustered_mcnemar_p(sums, sizes, (worse + better).sum(-1), (worse + better > 0).sum(-1))


def detectable(
    repeats: int, trials: int, assumed: Assumptions, alpha: float, wanted: float, runs: int = _RUNS
) -> float | None:
    """The smallest loss (0 to 1, to 0.1 points) found with power ``wanted``; None where not even the largest is."""
    return least(lambda loss: power(loss, repeats, trials, assumed, alpha, runs) >= wanted, 1 - assumed.discordant)


def repeats_for(
    difference: float, trials: int, assumed: Assumptions, alpha: float, wanted: float, runs: int = 1000,
    most: int = MAX_REPEATS,
) -> int | None:
    """The fewest repeats (at least 6, where the exact test by repeat decides) that find it; None above ``most``."""
    return fewest(lambda repeats: power(difference, repeats, trials, assumed, alpha, runs) >= wanted, most)


def fewest(enough: Callable[[int], bool], most: int) -> int | None:
    """The fewest repeats, from 6 on, that are enough; None above ``most``."""
    low, high = MIN_REPEATS - 1, MIN_REPEATS
    while not enough(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def least(enough: Callable[[float], bool], most: float, step: float = 0.001) -> float | None:
    """The smallest loss or effect that is enough, to within ``step``; None where not even ``most`` is."""
    low, high = 0.0, most
    if not enough(high):
        return None
    while high - low > step:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def graded_power(effect: float, repeats: int, alpha: float, runs: int = _RUNS, seed: int = 0) -> float:
    """Probability that the graded signal's test calls a fall significant at ``alpha``, two-sided.

    ``effect`` is the fall in units of the standard deviation of the repeats' means, which are taken as normal.
    """
    return _falling(np.random.default_rng(seed).standard_normal((runs, repeats)) - effect, alpha)


def power_of_means(means: np.ndarray, repeats: int, alpha: float, runs: int = _RUNS, seed: int = 0) -> float:
    """The same for repeats drawn from ``means``, differences in log-probability of invented ones."""
    drawn = np.random.default_rng(seed).integers(0, len(means), (runs, repeats))
    return _falling(means[drawn], alpha)


def _falling(means: np.ndarray, alpha: float) -> float:
    """Share of runs (runs, repeats) in which a fall is found."""
    if means.shape[-1] > _NORMAL:
        p = 2 * ndtr(-np.abs(means.sum(-1)) / np.sqrt((means**2).sum(-1)))
    else:
        p = signal.p_values(means)
    return float(((p <= alpha + 1e-12) & (means.sum(-1) < 0)).mean())


@cache  # of many comparisons most have as many repeats
def graded_detectable(repeats: int, alpha: float, wanted: float, runs: int = _RUNS) -> float | None:
    """The smallest effect found with power ``wanted``; None where not even the largest is."""
    return least(lambda effect: graded_power(effect, repeats, alpha, runs) >= wanted, _LARGEST_EFFECT, 0.005)


def repeats_for_means(means: np.ndarray, alpha: float, wanted: float, most: int = MAX_REPEATS) -> int | None:
    """The fewest repeats (at least 6), drawn from ``means``, that find their fall; None above ``most``."""
    return fewest(lambda repeats: power_of_means(means, repeats, alpha, 1000) >= wanted, most)


def fall(found: Signal, confidence: float) -> float | None:
    """The smallest fall of the log-probability (nats) that would have been found with 80%, at the spread of its own
    repeats; None where there is none."""
    effect = graded_detectable(found.num_repeats, 1 - confidence, WANTED)
    return None if effect is None else effect * found.spread


def latent_correlation(lost: float, gained: float, shared: float) -> float:
    """The model's correlation that gives differences of one repeat the correlation ``shared`` (moments of a pilot).

    From the bivariate normal's probabilities (scipy); 0 where the pilot shows none, at most 0.95.
    """
    from scipy import optimize, stats  # a second, which a report need not wait

    spread = lost + gained - (gained - lost) ** 2
    if shared <= 0 or spread <= 0:
        return 0.0
    limits = ndtri(max(lost, 1e-9)), -ndtri(max(gained, 1e-9))

    def excess(correlation: float) -> float:
        both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
        low, high = (both.cdf([limits[0]] * 2), both.cdf([-limits[1]] * 2))
        crossed = lost - both.cdf([limits[0], limits[1]])  # one lost, the other gained
        return float((low + high - 2 * crossed - (gained - lost) ** 2) / spread - shared)

    if excess(0.95) < 0:
        return 0.95
    return float(optimize.brentq(excess, 0.0, 0.95, xtol=1e-3)) if excess(0.0) < 0 else 0.0
