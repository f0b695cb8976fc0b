"""Invented runs in which the log-probability decides about right and wrong: for ``power`` where no pilot says.

A right answer leads its rivals by a margin (nats). Margins of a grid are normal, an answer is right where its margin
is above 0, and its log-probability is that of a logistic choice, log(1 / (1 + exp(-margin))). Both runs have what is
common to them and what is each one's own, by which answers flip where the margin is small; a loss moves all margins of
the other run down by as much. Real margins are not normal: docs/statistics.md has what SmolLM2's rows show.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

SPREAD = 2.0
"""Standard deviation of margins over a grid, in nats."""
_ALIKE = 0.3
"""Correlation of the margins of a repeat. What a test of pairs finds hardly depends on it."""


@dataclass(frozen=True)
class Margins:
    """``accuracy`` (0 to 1) of the baseline; ``discordant`` is the share of pairs that differ by chance,
    ``correlation`` that of what is each run's own, within a repeat."""

    accuracy: float
    discordant: float
    correlation: float

    def agreement(self) -> float:
        """Correlation of the two runs' margins that flips as many pairs as are ``discordant``; 0 where none does."""
        threshold = stats.norm.ppf(self.accuracy)

        def excess(correlation: float) -> float:
            both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([threshold, threshold])
            return float(2 * (self.accuracy - both) - self.discordant)

        if self.discordant <= 0:
            return 1.0
        return float(optimize.brentq(excess, 0.0, 1 - 1e-9)) if excess(0.0) > 0 else 0.0

    def pairs(
        self, rng: np.random.Generator, runs: int, repeats: int, trials: int, loss: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score differences (-1, 0, 1) and those of log-probabilities (nats), both (runs, repeats, trials), of runs
        that differ by a true ``loss`` (0 to 1) in accuracy. Without one they are exchangeable."""
        agreement = self.agreement()
        common = _correlated(rng, (runs, repeats, trials), _ALIKE)
        own = [_correlated(rng, common.shape, self.correlation) for _ in range(2)]
        threshold = stats.norm.ppf(self.accuracy)
        drop = threshold - stats.norm.ppf(self.accuracy - loss)
        base, other = (threshold + np.sqrt(agreement) * common + np.sqrt(1 - agreement) * one for one in own)
        other = other - drop
        return (other > 0) * 1.0 - (base > 0), _logprob(other) - _logprob(base)


def _correlated(rng: np.random.Generator, shape: tuple[int, ...], correlation: float) -> np.ndarray:
    """Standard normal values with that correlation within a repeat."""
    shared = rng.standard_normal((*shape[:-1], 1))
    own = rng.standard_normal(shape)
    return np.asarray(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)


def _logprob(margin: np.ndarray) -> np.ndarray:
    return np.asarray(-np.logaddexp(0, -SPREAD * margin))
