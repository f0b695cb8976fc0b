"""A surface of accuracy over length and depth, and what is believed of it: QUEST+ with four parameters.

Watson (2017), "QUEST+: a general multidimensional Bayesian adaptive psychometric method", Journal of Vision 17(3):10.
Accuracy is (1 - lapse) times a logistic function of log2(length), which falls with ``slope`` around a location that
lies earlier for needles in the middle of the context, by up to ``dip`` doublings. The parameters live on a grid; each
has the same probability beforehand. What it says may be wrong: it chooses what to ask next, and claims nothing
(``frontier``).

Arrays may have leading axes: one model, or many simulated ones at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy.special import expit

SLOPES = (0.7, 1.5, 3.0, 6.0)
LAPSES = (0.0, 0.03, 0.08)
DIPS = (0.0, 0.5, 1.5)
LIKENESS = 0.3
"""Correlation that trials of one context are taken to have: eleven depths of one text are worth 2.75 texts."""
_LEAST = 0.01
"""No answer is impossible: guesses, and surfaces that are none of these."""


@dataclass(frozen=True)
class Surface:
    """``lengths`` are the ladder (tokens, ascending), ``depths`` percent; ``threshold`` is the accuracy that counts."""

    lengths: Sequence[int]
    depths: Sequence[float]
    threshold: float

    @cached_property
    def parameters(self) -> np.ndarray:
        """(hypotheses, 4): location in log2 tokens, slope, lapse, dip."""
        steps = np.log2(np.asarray(self.lengths, dtype=float))
        locations = np.arange(steps[0] - 1.5, steps[-1] + 3.0, 0.5)
        return np.array(list(product(locations, SLOPES, LAPSES, DIPS)))

    @cached_property
    def cells(self) -> np.ndarray:
        """Accuracy (hypotheses, lengths, depths)."""
        location, slope, lapse, dip = (one[:, None, None] for one in self.parameters.T)
        steps = np.log2(np.asarray(self.lengths, dtype=float))[None, :, None]
        middle = np.sin(np.pi * np.asarray(self.depths, dtype=float) / 100)[None, None, :]
        found = (1 - lapse) * expit(slope * (location - dip * middle - steps))
        return np.asarray(np.clip(found, _LEAST, 1 - _LEAST))

    @cached_property
    def means(self) -> np.ndarray:
        """Accuracy of a length, all depths the same: (hypotheses, lengths)."""
        return np.asarray(self.cells.mean(-1))

    @cached_property
    def reached(self) -> np.ndarray:
        """How many lengths pass before the first that does not, under each hypothesis."""
        return np.asarray(np.logical_and.accumulate(self.means >= self.threshold, axis=-1).sum(-1))

    @cached_property
    def _by_reached(self) -> np.ndarray:
        """Bool (hypotheses, lengths + 1)."""
        return np.asarray(self.reached[:, None] == np.arange(len(self.lengths) + 1))

    @cached_property
    def _split(self) -> np.ndarray:
        """``means`` where so many lengths pass, else 0: (hypotheses, lengths x (lengths + 1))."""
        parts = self.means[:, :, None] * self._by_reached[:, None, :]
        return np.asarray(parts.reshape(len(parts), -1))

    @cached_property
    def _logs(self) -> tuple[np.ndarray, np.ndarray]:
        """Nats of a right and of a wrong answer, (lengths, depths, hypotheses)."""
        right, wrong = np.log(self.cells), np.log1p(-self.cells)
        return np.moveaxis(right, 0, -1), np.moveaxis(wrong, 0, -1)

    def log_likelihood(self, place: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Nats of one context's scores (..., depths), NaN where a depth was not asked, at the length in ``place`` (...)
        of the ladder: (..., hypotheses)."""
        is_asked = ~np.isnan(scores)
        num = np.maximum(is_asked.sum(-1), 1)
        worth = (likeness(num) / num)[..., None]
        known = np.where(is_asked, scores, 0.0) * worth
        missed = is_asked * worth - known
        total = np.empty((*place.shape, len(self.parameters)))
        for one in np.unique(place):  # a product of matrices each: no array over lengths, depths and hypotheses at once
            here, (right, wrong) = place == one, (part[one] for part in self._logs)
            total[here] = known[here] @ right + missed[here] @ wrong
        return total

    def believed(self, log_weights: np.ndarray) -> np.ndarray:
        """Probability of each hypothesis, from nats (..., hypotheses)."""
        weights = np.exp(log_weights - log_weights.max(-1, keepdims=True))
        return np.asarray(weights / weights.sum(-1, keepdims=True))

    def chances(self, believed: np.ndarray) -> np.ndarray:
        """Probability that so many lengths pass: (..., lengths + 1)."""
        return np.asarray(believed @ self._by_reached)

    def information(self, believed: np.ndarray) -> np.ndarray:
        """Nats that one more context at each length is expected to tell of how many lengths pass: (..., lengths)."""
        num = len(self.lengths)
        chances = self.chances(believed)
        right = (believed @ self._split).reshape(*believed.shape[:-1], num, num + 1)
        share = np.divide(right, chances[..., None, :], out=np.zeros_like(right), where=chances[..., None, :] > 1e-12)
        return np.asarray(entropy(right.sum(-1)) - (chances[..., None, :] * entropy(share)).sum(-1))


def entropy(share: np.ndarray) -> np.ndarray:
    """Nats of an event of this probability."""
    kept = np.clip(share, 1e-12, 1 - 1e-12)
    return np.asarray(-kept * np.log(kept) - (1 - kept) * np.log1p(-kept))


def likeness(num: np.ndarray) -> np.ndarray:
    """How many independent trials so many of one context are worth."""
    return np.asarray(num / (1 + (num - 1) * LIKENESS))
