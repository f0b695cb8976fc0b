"""The effective length with a certificate: a chooser that may be wrong, and a claim that may not.

The chooser (``psychometric``; each length's own answers weigh more the more there are) picks the next context by what
it tells per token, until it believes in one effective length; from then on it picks what is left to prove of that, the
cheapest proof first, and none that would take more contexts than a length may have. It decides what a proof costs,
never what is proven.

The claim is made of evidence (``evidence``) at each length, from the means of contexts over depths that were fixed
beforehand, the contexts of a length taken in the order of their repeats, none left out. ``low`` is the last length up
to which each is proven to lie above the threshold; ``high`` is the one before the first that is proven to lie below.

Error budget. ``low`` is too high only where the first length that fails in truth was proven to pass: one hypothesis,
whichever it is, so that every length may be tested at the whole of that side's probability. ``high`` is too low where
any of the lengths that pass was proven to fail: as many hypotheses, so that each has an equal part of the other
side's. A proof of failing is cheap, so that side has the smaller part (``LOW_SHARE``). Together they are wrong at most
with probability 1 - confidence, at any moment, with no assumption of the surface: not that accuracy falls with length.

Arrays have the models first: one, or many simulated ones at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import betaincc

from niah.stats import evidence
from niah.stats.effective_length import leading
from niah.stats.psychometric import Surface, entropy, likeness

LOW_SHARE = 0.8
"""Of 1 - confidence: the probability that ``low`` may be too high."""
PRIOR = 4.0
DOUBT = 0.1
"""The chooser takes effective lengths for possible between these tails of what it believes."""
HOPE = 1.0
"""A proof is not given up as long as a mean so many standard deviations better than believed could still have it."""
BEYOND, CHEAP = 1, 16
"""Where the first length that fails lies too close to the threshold to be proven, so many longer ones are tried that
take at most so many contexts."""
LEAST = 0.02
"""Nats. Where no context tells as much of the effective length, what is certain of it is proven instead."""


@dataclass
class Frontier:
    """What is known of ``num_models`` models. ``costs`` are tokens of one context at each length; ``most`` is how many
    contexts a length may have. ``level`` is what the values of contexts are held against, None for the surface's
    threshold, which they are of unless ``tell`` is given others."""

    surface: Surface
    costs: Sequence[float]
    confidence: float
    most: int
    num_models: int = 1
    level: float | None = None
    counts: np.ndarray = field(init=False)
    """Contexts asked, (models, lengths)."""
    above: np.ndarray = field(init=False)
    below: np.ndarray = field(init=False)
    """Nats of each bet that the mean lies above the threshold, or below, (models, lengths, bets)."""
    is_above: np.ndarray = field(init=False)
    is_below: np.ndarray = field(init=False)
    """Bool (models, lengths): proven, at some moment."""
    shut: np.ndarray = field(init=False)
    """Bool (models, lengths): not to be asked any more, as where there is no room."""

    def __post_init__(self) -> None:
        shape = self.num_models, len(self.surface.lengths)
        self.counts = np.zeros(shape, dtype=int)
        self.above = np.zeros((*shape, len(evidence.FRACTIONS)))
        self.below = np.zeros_like(self.above)
        self.is_above, self.is_below = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        self.shut = np.zeros(shape, dtype=bool)
        self._log_weights = np.zeros((self.num_models, len(self.surface.parameters)))
        self._right, self._worth = np.zeros(shape), np.zeros(shape)
        alpha = 1 - self.confidence
        self.needed_above = evidence.needed(alpha * LOW_SHARE)
        self.needed_below = evidence.needed(alpha * (1 - LOW_SHARE) / shape[1])

    def tell(
        self, models: np.ndarray, places: np.ndarray, scores: np.ndarray, values: np.ndarray | None = None
    ) -> None:
        """One context of each of ``models`` (n,), at the lengths ``places`` (n,), scores (n, depths), NaN not asked.
        ``values`` (n,), from 0 to 1, are what is proven of where that is not the scores' mean."""
        threshold, means = self.surface.threshold if self.level is None else self.level, np.nanmean(scores, axis=-1)
        values = means if values is None else values
        self.counts[models, places] += 1
        self.above[models, places] += evidence.growth(values, threshold)
        self.below[models, places] += evidence.growth(1 - values, 1 - threshold)
        self.is_above[models, places] |= evidence.evidence(self.above[models, places]) >= self.needed_above
        self.is_below[models, places] |= evidence.evidence(self.below[models, places]) >= self.needed_below
        self._log_weights[models] += self.surface.log_likelihood(places, scores)
        worth = likeness((~np.isnan(scores)).sum(-1))
        self._worth[models, places] += worth
        self._right[models, places] += worth * means

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """How many lengths pass at least, and at most: (models,) each."""
        high = leading(~self.is_below)
        return np.minimum(leading(self.is_above), high), high

    def passes(self, models: np.ndarray, believed: np.ndarray) -> np.ndarray:
        """The probability that each length passes, from its own answers and from what the surface expects of it, which
        counts as ``PRIOR`` trials: (models, lengths). No claim."""
        expected = np.clip(believed @ self.surface.means, 0.01, 0.99)
        right = self._right[models] + PRIOR * expected
        wrong = self._worth[models] - self._right[models] + PRIOR * (1 - expected)
        return np.asarray(betaincc(right, wrong, self.surface.threshold))

    def chances(self) -> np.ndarray:
        """What is believed: the probability that so many lengths pass, (models, lengths + 1). No claim."""
        models = np.arange(self.num_models)
        return _chances(self.passes(models, self.surface.believed(self._log_weights)))

    def means(self) -> np.ndarray:
        """The believed accuracy of each cell, (models, lengths, depths). No claim."""
        believed = self.surface.believed(self._log_weights)
        return np.asarray(np.einsum("mh,hld->mld", believed, self.surface.cells))

    def next(self, models: np.ndarray) -> np.ndarray:
        """For each of ``models`` the place of the length to ask a context of; -1 where nothing is left to ask."""
        believed = self.surface.believed(self._log_weights[models])
        costs = np.asarray(self.costs, dtype=float)
        is_full = self.shut[models] | (self.counts[models] >= self.most)
        passes = self.passes(models, believed)
        sums = _chances(passes).cumsum(-1)
        least, most = (sums > DOUBT).argmax(-1), (sums > 1 - DOUBT).argmax(-1)
        matters = np.cumprod(np.concatenate([np.ones_like(passes[:, :1]), passes[:, :-1]], -1), -1)
        own = matters * entropy(passes) / (self._worth[models] + PRIOR)
        information = np.where(is_full, 0.0, self.surface.information(believed) + own)
        is_telling = (least < most) & (information.max(-1) >= LEAST)
        left = self._left(models, believed, least, most)
        places = np.arange(len(costs))
        is_hopeless = is_full | (self.counts[models] + left > self.most) | ((places > most[:, None]) & (left > CHEAP))
        is_failing = places >= most[:, None]
        first = (is_failing & ~is_hopeless).argmax(-1)[:, None]  # a longer one would prove less
        proving = np.where(is_hopeless | (is_failing & (places > first)), np.inf, left * costs)
        place = np.where(is_telling, (information / costs).argmax(-1), proving.argmin(-1))
        has_any = is_telling | np.isfinite(proving).any(-1)
        low, high = self.interval()
        return np.where(has_any & (low[models] < high[models]), place, -1)

    def _left(self, models: np.ndarray, believed: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
        """About how many contexts of each length are left to prove that ``least`` lengths pass, and that one
        from ``most`` on fails, infinite where that takes none: (models, lengths)."""
        means, threshold = believed @ self.surface.means, self.surface.threshold
        spread = HOPE * np.sqrt(np.maximum(believed @ self.surface.means**2 - means**2, 0.0))
        places = np.arange(means.shape[-1])
        passes = places < least[:, None]
        fails = (places >= most[:, None]) & (places <= most[:, None] + BEYOND)
        fails &= places < self.interval()[1][models, None]
        due_above = self.needed_above - evidence.evidence(self.above[models])
        due_below = self.needed_below - evidence.evidence(self.below[models])
        left = np.where(
            passes, due_above / np.maximum(evidence.pace(means + spread, threshold), 1e-3),
            due_below / np.maximum(evidence.pace(1 - means + spread, 1 - threshold), 1e-3),
        )
        is_due = (passes & ~self.is_above[models]) | (fails & ~self.is_below[models])
        return np.where(is_due, np.maximum(left, 1.0), np.inf)


def _chances(passes: np.ndarray) -> np.ndarray:
    """The probability that so many lengths pass before the first that does not, from that of each."""
    reached = np.cumprod(np.concatenate([np.ones_like(passes[..., :1]), passes], -1), -1)
    return np.concatenate([reached[..., :-1] * (1 - passes), reached[..., -1:]], -1)
