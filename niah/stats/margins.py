"""How large a fall of the log-probability stands behind a loss of accuracy: assumed, or from a pilot's rows.

A right answer leads its rivals by a margin (nats). Margins of a grid are normal, an answer is right where its margin
is above 0, and its log-probability is that of a logistic choice, log(1 / (1 + exp(-margin))). Both runs have what is
common to them and what is each one's own, by which answers flip where the margin is small; a loss moves all margins of
the other run down by as much. Real margins are not normal: docs/statistics.md has what SmolLM2's rows show.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, special, stats

from niah.stats import clusters

SPREAD = 2.0
"""Standard deviation of margins over a grid, in nats: about that of SmolLM2's under multikey."""
_ALIKE = 0.3
"""Correlation of the margins of a repeat. What a test of pairs finds hardly depends on it."""
_ALMOST = 0.99
_REPEATS = 4000
"""Invented ones of ``means``."""
_STEEPEST = 10.0
"""Slope of right and wrong over the margin (per nat) where a pilot's rows are told apart by it without exception."""


@dataclass(frozen=True)
class Margins:
    """``accuracy`` (0 to 1) of the baseline; ``discordant`` is the share of pairs that differ by chance,
    ``correlation`` that of what is each run's own, within a repeat."""

    accuracy: float
    discordant: float
    correlation: float

    @property
    def most(self) -> float:
        """The largest loss that is asked about: almost all that is right."""
        return _ALMOST * self.accuracy

    @cached_property
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
        base, other = self.sides(rng, runs, repeats, trials, loss)
        return (other > 0) * 1.0 - (base > 0), logprob(other) - logprob(base)

    def sides(
        self, rng: np.random.Generator, runs: int, repeats: int, trials: int, loss: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Margins (nats) of both runs, (runs, repeats, trials)."""
        agreement = self.agreement
        common = _correlated(rng, (runs, repeats, trials), _ALIKE)
        own = [_correlated(rng, common.shape, self.correlation) for _ in range(2)]
        threshold = stats.norm.ppf(self.accuracy)
        drop = threshold - stats.norm.ppf(self.accuracy - loss)
        base, other = (threshold + np.sqrt(agreement) * common + np.sqrt(1 - agreement) * one for one in own)
        return SPREAD * base, SPREAD * (other - drop)

    def means(self, loss: float, trials: int) -> np.ndarray:
        """Differences in log-probability (nats), means of invented repeats of so many trials, behind a ``loss``."""
        _, shift = self.pairs(np.random.default_rng(0), 1, _REPEATS, trials, loss)
        return np.asarray(shift[0].mean(-1))


@dataclass(frozen=True)
class PilotMargins:
    """What a pilot shows. ``base`` and ``other`` (pairs,) are margins in nats, the log-odds of the right answer, the
    other run's moved to the baseline's mean. An answer is right with probability
    1 / (1 + exp(-(start + slope * margin))). ``repeat`` (pairs,) numbers from 0 on."""

    base: np.ndarray
    other: np.ndarray
    start: float
    slope: float
    repeat: np.ndarray

    @property
    def most(self) -> float:
        """The largest loss that is asked about: almost all that is right."""
        return _ALMOST * self._accuracy(0.0)

    def fall(self, loss: float) -> float:
        """Nats by which the mean log-probability falls where all margins fall alike and accuracy by ``loss``; NaN where
        it is not that high."""
        return float(self._falls(loss).mean())

    def means(self, loss: float, trials: int) -> np.ndarray:
        """Differences in log-probability (nats), means of invented repeats of so many trials, behind a ``loss``.

        Normal, as a pilot of few repeats says little of their shape. NaN where the baseline has not that much to lose.
        """
        falls = self._falls(loss)
        between, within = _variances(falls, self.repeat)
        spread = np.sqrt(between + within / trials)
        return np.asarray(spread * np.random.default_rng(0).standard_normal(_REPEATS) - falls.mean())

    def _falls(self, loss: float) -> np.ndarray:
        """Of every pair, in nats."""
        if loss >= self._accuracy(0.0):
            return np.full(len(self.base), np.nan)
        most = 1.0
        while self._accuracy(0.0) - self._accuracy(most) < loss:
            most *= 2
        shift = optimize.brentq(lambda x: self._accuracy(0.0) - self._accuracy(x) - loss, 0.0, most)
        return np.asarray(logprob(self.base) - logprob(self.other - shift))

    def _accuracy(self, shift: float) -> float:
        return float(special.expit(self.start + self.slope * (self.other - shift)).mean())


def of_pilot(right: np.ndarray, base: np.ndarray, other: np.ndarray, repeat: np.ndarray) -> PilotMargins | None:
    """From a pilot's pairs (pairs,): scores of the baseline, log-probabilities of both sides, repeats.

    None where too little is there: fewer than 3 repeats, or all answers of the baseline right or all wrong.
    """
    known = np.isfinite(base) & np.isfinite(other)
    right, (names, labels) = right[known] > 0.5, np.unique(repeat[known], return_inverse=True)
    if len(names) < 3 or right.all() or not right.any():
        return None
    margins = [side[known] - np.log(-np.expm1(np.minimum(side[known], -1e-9))) for side in (base, other)]
    start, slope = _logistic(margins[0], right)
    return PilotMargins(margins[0], margins[1] + margins[0].mean() - margins[1].mean(), start, slope, labels)


def _variances(values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Between clusters and within, by the analysis of variance of one factor; neither is below 0."""
    num_clusters = int(labels.max()) + 1
    sums, sizes = clusters.clustered(labels, values, num_clusters)
    rest = len(values) - num_clusters
    within = float(((values - (sums / sizes)[labels]) ** 2).sum() / rest) if rest else 0.0
    spread = float((sizes * (sums / sizes - values.mean()) ** 2).sum() / (num_clusters - 1))
    typical = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (num_clusters - 1)
    return max(0.0, (spread - within) / typical), within


def _logistic(margin: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Start and slope of the logistic regression of right and wrong on the margin."""
    sign = np.where(right, 1.0, -1.0)

    def unlikely(at: np.ndarray) -> float:
        return float(np.logaddexp(0, -sign * (at[0] + at[1] * margin)).sum())

    # a start of as many slopes as margins reach, so that a threshold anywhere among them is possible
    reach = _STEEPEST * max(1.0, float(np.abs(margin).max()))
    found = optimize.minimize(unlikely, [0.0, 1.0], method="L-BFGS-B", bounds=[(-reach, reach), (1e-3, _STEEPEST)])
    return float(found.x[0]), float(found.x[1])


def _correlated(rng: np.random.Generator, shape: tuple[int, ...], correlation: float) -> np.ndarray:
    """Standard normal values with that correlation within a repeat."""
    shared = rng.standard_normal((*shape[:-1], 1))
    own = rng.standard_normal(shape)
    return np.asarray(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)


def logprob(margin: np.ndarray) -> np.ndarray:
    """Of a logistic choice, in nats."""
    return np.asarray(-np.logaddexp(0, -margin))
