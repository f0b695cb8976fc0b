"""What loss of the mean of several settings a planned sweep can find, and how many repeats a wanted one needs."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from niah.stats import signflip
from niah.stats.power import FEW_REPEATS, Assumptions, fewest
from niah.stats.suite import CROSSED


def power(
    loss: float, repeats: int, trials: Sequence[int], assumed: Assumptions, alpha: float, runs: int = 1000,
    seed: int = 0,
) -> float:
    """Probability that the paired test finds a ``loss`` (0 to 1) of every setting at ``alpha``, two-sided, at 6 repeats
    or more. Simulated; standard error at most 0.016.

    ``trials`` are each setting's in a repeat. Of ``assumed.correlation``, that of the normal variables behind a
    setting's trials in a repeat, the part ``CROSSED`` is shared by all settings.
    """
    rng, shape = np.random.default_rng(seed), (runs, len(trials), repeats)
    crossed = min(CROSSED, assumed.correlation)
    shared = np.sqrt(crossed) * rng.standard_normal((runs, 1, repeats))
    shared = shared + np.sqrt(assumed.correlation - crossed) * rng.standard_normal(shape)
    own, lost, gained = np.sqrt(1 - assumed.correlation), assumed.discordant / 2 + loss, assumed.discordant / 2
    worse = stats.norm.cdf((stats.norm.ppf(lost) - shared) / own)
    better = stats.norm.sf((stats.norm.isf(gained) - shared) / own)
    num = np.asarray(trials)[:, None]
    num_lost = rng.binomial(num, worse)
    num_gained = rng.binomial(num - num_lost, np.clip(better / np.maximum(1 - worse, 1e-12), 0, 1))
    means = ((num_gained - num_lost) / num).sum(1)
    found = (signflip.p_values(means) <= alpha + 1e-12) & (means.sum(-1) < 0)
    return float(found.mean())


def repeats_for(
    loss: float, trials: Sequence[int], assumed: Assumptions, alpha: float, wanted: float
) -> int | None:
    """The fewest repeats, at least 6, that find it with power ``wanted``; None above ``FEW_REPEATS``."""
    return fewest(lambda repeats: power(loss, repeats, trials, assumed, alpha) >= wanted, FEW_REPEATS)
