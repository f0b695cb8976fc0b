"""What difference a grid of paired trials can find, and how many repeats a wanted one needs: by simulating the
verdict's test."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from niah.stats import matched_pairs, signflip, simulation
from niah.stats.comparison import MIN_REPEATS

MAX_REPEATS = 2000
_RUNS = 2000


@dataclass(frozen=True)
class Assumptions:
    """How two runs differ when nothing is wrong, and how alike the trials of a repeat are.

    ``discordant``: share of pairs that differ by chance, half of them each way. ``correlation``: of the normal
    variables behind the trials of a repeat (``simulation.differences``).
    """

    discordant: float
    correlation: float


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
    if repeats == 1 or trials == 1:
        return matched_pairs.mcnemar_ps(worse.sum(-1), better.sum(-1))
    if repeats >= MIN_REPEATS:
        return signflip.p_values(sums)
    sizes = np.full(sums.shape, float(trials))
    return matched_pairs.clustered_mcnemar_p(sums, sizes, (worse + better).sum(-1), (worse + better > 0).sum(-1))


def detectable(repeats: int, trials: int, assumed: Assumptions, alpha: float, wanted: float) -> float | None:
    """The smallest loss (0 to 1, to 0.1 points) found with power ``wanted``; None where not even the largest is."""
    low, high = 0.0, 1 - assumed.discordant
    if power(high, repeats, trials, assumed, alpha) < wanted:
        return None
    while high - low > 0.001:
        middle = (low + high) / 2
        if power(middle, repeats, trials, assumed, alpha) >= wanted:
            high = middle
        else:
            low = middle
    return high


def repeats_for(difference: float, trials: int, assumed: Assumptions, alpha: float, wanted: float) -> int | None:
    """The fewest repeats (at least 6, where the exact test by repeat decides) that find it; None above 2,000."""

    def enough(repeats: int) -> bool:
        return power(difference, repeats, trials, assumed, alpha, 1000) >= wanted

    low, high = MIN_REPEATS - 1, MIN_REPEATS
    while not enough(high):
        low, high = high, high * 2
        if low >= MAX_REPEATS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def latent_correlation(lost: float, gained: float, shared: float) -> float:
    """The model's correlation that gives differences of one repeat the correlation ``shared`` (moments of a pilot).

    From the bivariate normal's probabilities (scipy); 0 where the pilot shows none, at most 0.95.
    """
    spread = lost + gained - (gained - lost) ** 2
    if shared <= 0 or spread <= 0:
        return 0.0
    limits = stats.norm.ppf(max(lost, 1e-9)), stats.norm.isf(max(gained, 1e-9))

    def excess(correlation: float) -> float:
        both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
        low, high = (both.cdf([limits[0]] * 2), both.cdf([-limits[1]] * 2))
        crossed = lost - both.cdf([limits[0], limits[1]])  # one lost, the other gained
        return float((low + high - 2 * crossed - (gained - lost) ** 2) / spread - shared)

    if excess(0.95) < 0:
        return 0.95
    return float(optimize.brentq(excess, 0.0, 0.95, xtol=1e-3)) if excess(0.0) < 0 else 0.0
