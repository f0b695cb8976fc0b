"""The mean of several settings that count equally, as RULER's 13, with its interval: settings are strata, repeats
clusters.

Repeats are those of every setting: settings of one haystack share text and keys in a repeat. So besides what trials of
one setting and repeat have in common there is what settings of one repeat have.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from niah.stats.clusters import SHARED

CROSSED = 0.1
"""Correlation of answers to two settings in one repeat that intervals assume where few repeats show less."""
WORTH_OWN, WORTH_CROSSED = 6, 3
"""The assumptions count as much as so many degrees of freedom (within settings, between them)."""


@dataclass(frozen=True)
class Strata:
    """Scores by stratum and repeat: ``sums`` and ``sizes`` (numbers of trials) are float (..., strata, repeats).

    A stratum is a setting at a length. ``weights`` (strata,) sum to 1; ``settings`` (strata,) are 0 ... settings - 1:
    strata of one setting share its needles and text in a repeat. Every stratum has trials.
    """

    sums: np.ndarray
    sizes: np.ndarray
    weights: np.ndarray
    settings: np.ndarray

    @property
    def num_trials(self) -> np.ndarray:
        """Of each stratum, (..., strata)."""
        return np.asarray(self.sizes.sum(-1))

    @property
    def means(self) -> np.ndarray:
        return np.asarray(self.sums.sum(-1) / self.num_trials)

    @property
    def mean(self) -> np.ndarray:
        """The weighted mean of the strata's means, (...)."""
        return np.asarray((self.weights * self.means).sum(-1))


def wilson(strata: Strata, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the mean of scores in [0, 1].

    Yan and Su (2010), "Stratified Wilson and Newcombe confidence intervals for multiple binomial proportions",
    Statistics in Biopharmaceutical Research 2: the weighted sum of the strata's Wilson intervals, each at a smaller
    quantile, so that together they are as wide as the mean's. Numbers of trials are divided by ``design_effect``.
    Deviates: the quantile is weighed by variances drawn to 1/2 as Wilson's centre is, for the plain ones are 0 where
    all answers are right.
    """
    means = strata.means
    worth = design_effect(strata, means * (1 - means), confidence)
    num_settings = len(set(strata.settings.tolist()))
    return stratified_wilson(means, strata.num_trials / worth[..., None], strata.weights, num_settings, confidence)


def stratified_wilson(
    means: np.ndarray, size: np.ndarray, weights: np.ndarray, num: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same from ``means`` and numbers of independent trials ``size``, both (..., strata), of ``num`` settings."""
    z = ndtri((1 + confidence) / 2)
    drawn = (means * size + z**2 / (2 * num)) / (size + z**2 / num)
    spread = weights * np.sqrt(drawn * (1 - drawn) / size)
    own = z * np.sqrt((spread**2).sum(-1, keepdims=True)) / spread.sum(-1, keepdims=True)
    centre = (means + own**2 / (2 * size)) / (1 + own**2 / size)
    half = own * np.sqrt(means * (1 - means) / size + own**2 / (4 * size**2)) / (1 + own**2 / size)
    return (weights * (centre - half)).sum(-1), (weights * (centre + half)).sum(-1)


def design_effect(strata: Strata, spread: np.ndarray, confidence: float) -> np.ndarray:
    """By how much fewer independent trials these are worth for an interval, (...): ``effect`` times (t / z)²."""
    found, freedom = effect(strata, spread)
    level = (1 + confidence) / 2
    return np.asarray(found * (stdtrit(freedom, level) / ndtri(level)) ** 2)


def effect(strata: Strata, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The variance of the mean over what it were if all trials were independent, at least 1, and its degrees of
    freedom, both (...).

    ``spread`` (..., strata) is the variance of one trial. Where nothing varies the effect is what the assumed
    correlations imply, and the degrees of freedom are inf.
    """
    variance, freedom = _variance(strata, spread)
    plain = (strata.weights**2 * spread / strata.num_trials).sum(-1)
    even = np.ones(strata.means.shape)
    assumed = sum(_assumed(strata, even)) / (strata.weights**2 / strata.num_trials).sum(-1)
    varies = plain > 1e-15
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.maximum(variance / plain, 1)
    return np.where(varies, seen, np.maximum(assumed, 1)), np.where(varies, freedom, np.inf)


def _variance(strata: Strata, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the mean, and its degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2), inf where all is assumed.

    Within settings: repeats as clusters, settings summed (Cochran 1977, Sampling Techniques, section 5.3). Between
    them: by how much the variance of the repeats' own means over all settings is more than that, where it is. Both are
    drawn to what is assumed where that is more, the less is known the closer.
    """
    residuals = strata.weights[:, None] * (strata.sums - strata.means[..., None] * strata.sizes)
    by_setting = _by_setting(strata, residuals / strata.num_trials[..., None])
    repeats = (_by_setting(strata, strata.sizes) > 0).sum(-1)
    all_repeats = int((strata.sizes.reshape(-1, strata.sizes.shape[-1]).sum(0) > 0).sum())
    assumed, assumed_crossed = _assumed(strata, spread)
    one = _assumed_within(strata, spread)
    squares = (by_setting**2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        within = np.where(repeats > 1, repeats / (repeats - 1) * squares, one).sum(-1)
    freedom = ((repeats - 1) * (squares > 1e-20)).sum(-1)
    known = freedom / (freedom + WORTH_OWN)
    own = known * within + (1 - known) * np.maximum(within, assumed)
    if all_repeats < 2:
        return own + assumed_crossed, np.full(own.shape, np.inf)
    crossed = all_repeats / (all_repeats - 1) * (by_setting.sum(-2) ** 2).sum(-1)
    between = np.maximum(crossed - within, 0)
    known = (all_repeats - 1) / (all_repeats - 1 + WORTH_CROSSED)
    between = known * between + (1 - known) * np.maximum(between, assumed_crossed)
    share = np.divide(between, own + between, out=np.zeros_like(own), where=own + between > 0)
    return own + between, 1 / (share**2 / (all_repeats - 1) + (1 - share) ** 2 / np.maximum(freedom, 1))


def _assumed(strata: Strata, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The variance of the mean with ``SHARED`` within settings, and what ``CROSSED`` between them adds."""
    loads = _loads(strata, spread)
    crossed = CROSSED * (loads.sum(-2) ** 2 - (loads**2).sum(-2)).sum(-1)
    return _assumed_within(strata, spread).sum(-1), crossed


def _assumed_within(strata: Strata, spread: np.ndarray) -> np.ndarray:
    """Of each setting, (..., settings)."""
    alone = strata.weights**2 * spread / strata.num_trials**2
    independent = _by_setting(strata, alone[..., None] * strata.sizes)
    return np.asarray((SHARED * _loads(strata, spread) ** 2 + (1 - SHARED) * independent).sum(-1))


def _loads(strata: Strata, spread: np.ndarray) -> np.ndarray:
    """The standard deviation that a setting's trials in a repeat would give the mean if all moved as one."""
    alone = strata.weights * np.sqrt(spread) / strata.num_trials
    return _by_setting(strata, alone[..., None] * strata.sizes)


def _by_setting(strata: Strata, values: np.ndarray) -> np.ndarray:
    """Sums over the strata of each setting: (..., strata, repeats) to (..., settings, repeats)."""
    member = np.arange(strata.settings.max() + 1)[:, None] == strata.settings
    return np.asarray(member.astype(float) @ values)
