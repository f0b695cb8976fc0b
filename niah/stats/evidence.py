"""Evidence that a mean lies above a threshold, valid whenever one looks at it: a mixture of fixed bets.

Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", arXiv:2010.09686, section 4.
Somebody who starts with 1 and bets, at each value in [0, 1], a share f of it that the value lies above the threshold t
has 1 - f + f x / t times as much afterwards. Where the mean is at most t the expected wealth never grows, so that by
Ville's inequality it ever reaches 1 / alpha with probability alpha at most: at any moment, however the moment is
chosen. The wealths of ``FRACTIONS``, mixed by ``WEIGHTS``, are the wealth of one who splits the 1 among them at the
start.

The bets depend on nothing but the values themselves. So it does not matter what else was seen when it was decided
whether to go on: which of the values are seen is the beginning of one fixed sequence.

Wealth is kept as its logarithm, in nats; the mirror, that a mean lies below t, is the same of 1 - x above 1 - t.
"""

import math

import numpy as np

FRACTIONS = np.array([0.08, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0])
WEIGHTS = np.array([0.05, 0.08, 0.12, 0.14, 0.14, 0.14, 0.13, 0.20])
"""The larger bets have more: by those a mean near 1 is proven soonest, which is what most lengths have."""
_KNOTS = np.linspace(0.0, 1.0, 201)


def growth(values: np.ndarray, threshold: float) -> np.ndarray:
    """Nats by which each bet's wealth grows at values (...) from 0 to 1: (..., bets)."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(1 - FRACTIONS + FRACTIONS * np.asarray(values, dtype=float)[..., None] / threshold))


def evidence(wealth: np.ndarray) -> np.ndarray:
    """Nats of the mixture, from the bets' wealth (..., bets). 0 where there is nothing yet."""
    most = np.maximum(wealth.max(-1), -700.0)
    return np.asarray(most + np.log(np.exp(wealth - most[..., None]) @ WEIGHTS))


def needed(alpha: float) -> float:
    """Nats from which evidence is a proof at the error probability ``alpha``."""
    return -math.log(alpha)


def pace(means: np.ndarray, threshold: float) -> np.ndarray:
    """About how many nats a value of this mean gives, all or nothing: those of the best bet; 0 at the threshold."""
    odds = growth(np.array([0.0, 1.0]), threshold)
    odds[0, FRACTIONS == 1.0] = np.log(1e-3)  # a bet that a mean of just 1 stands
    best = np.maximum((_KNOTS[:, None] * odds[1] + (1 - _KNOTS[:, None]) * odds[0]).max(-1), 0.0)
    return np.asarray(np.interp(means, _KNOTS, best))


SCALES = np.array([0.3, 0.7, 1.5, 4.0, 10.0, 30.0])
"""From bets on whole differences (one pair of right and wrong) to bets on the sign alone of any difference."""


def signed_growth(differences: np.ndarray) -> np.ndarray:
    """Nats by which each bet of ``SCALES`` that differences (...) are above 0 grows: (..., bets).

    exp(l d) / cosh(l d) has the mean 1 where a difference is as likely as its opposite, so where the two that are
    compared are alike (de la Pena 1999, "A general class of exponential inequalities for martingales and ratios"): it
    bets on the sign, more on large ones. It is the null hypothesis of ``compare``'s sign flips.
    """
    reach = np.asarray(differences, dtype=float)[..., None] * SCALES
    return np.asarray(reach - np.logaddexp(reach, -reach) + math.log(2))


def signed_evidence(wealth: np.ndarray) -> np.ndarray:
    """Nats of the even mixture of ``SCALES``' bets, from their wealth (..., bets)."""
    most = wealth.max(-1)
    return np.asarray(most + np.log(np.exp(wealth - most[..., None]).mean(-1)))
