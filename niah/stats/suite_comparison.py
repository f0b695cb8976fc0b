"""Two runs of several settings that count equally, paired: the difference of their mean, overall and per length."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import stats

from niah.stats import matched_pairs, signflip, suite, two_samples
from niah.stats.comparison import MIN_REPEATS, Answers, Comparison, Difference, adjusted, judged
from niah.stats.power import FEW_REPEATS, GOALS, WANTED, Resolution, fewest, least
from niah.stats.significance import following

_EXACT = 30
"""Above so many repeats power is that of Student's test, from which sign flips differ no more."""
Sides = Sequence[tuple[Answers, Answers]]
"""One pair of answers a setting, both in the same order."""


def comparisons(suites: Sequence[Sides], confidence: float) -> list[Comparison]:
    """``compared`` for each, Holm's p over their overall differences."""
    found = [compared(sides, confidence) for sides in suites]
    overall = adjusted([one.overall for one in found], confidence)
    return [replace(one, overall=together) for one, together in zip(found, overall, strict=True)]


def compared(sides: Sides, confidence: float) -> Comparison:
    """The difference of the settings' mean over all lengths, and at each length that every setting has (Holm).

    Overall every setting and, within it, every length counts the same. Lengths are judged as ``comparisons`` judges
    them; cells and signals are the single settings' own.
    """
    common = set.intersection(*({*a.length.tolist()} for a, _ in sides))
    lengths = [pooled(sides, (length,), confidence) for length in sorted(common)]
    overall = pooled(sides, (), confidence)
    return Comparison(
        True, replace(overall, adjusted_p=overall.p), judged(lengths, partial(pooled, sides), confidence), [], None, [],
    )


def pooled(sides: Sides, lengths: tuple[int, ...], confidence: float) -> Difference:
    """One difference over these lengths, all that a setting has where none are named.

    Test: the sign of all differences of a repeat turned together, over all settings (``signflip``); McNemar's with the
    repeats' variance below 6 repeats. It holds whatever the settings of a repeat have in common. Interval: Tango's, its
    counts those of the trials that the pairs are worth (``suite.design_effect``), after the test (``following``).
    """
    tables = _Tables(sides, lengths)
    differences = tables.strata("difference")
    p, test = _test(tables, differences)
    difference = float(differences.mean)
    ends = _interval(tables, differences, confidence)
    low, high = following(*ends, difference, p, confidence)
    base = float(tables.strata("base").mean)
    num_lost, num_gained = tables.sums("lost").sum(), tables.sums("gained").sum()
    return Difference(
        tables.lengths, None, int(differences.num_trials.sum()), len(tables.repeats), base, base + difference,
        difference, float(low), float(high), int(num_lost), int(num_gained),
        float(matched_pairs.mcnemar_p(num_lost, num_gained)), p, test,
    )


def resolution(sides: Sides, found: Difference, confidence: float) -> Resolution:
    """What a comparison of the mean could have found with 80%, at the discordance and likeness of its own pairs.

    From the standard error that a loss would have (its pairs add to the discordance), which takes a repeat's mean as
    normal. Where nothing differed, one pair counts as discordant.
    """
    tables = _Tables(sides, ())
    differences = tables.strata("difference")
    squares = tables.strata("squares").means
    worth, _ = suite.effect(differences, np.maximum(squares - differences.means**2, 0))
    size = float(1 / (tables.weights**2 / differences.num_trials).sum() / worth)
    discordant = max(float(tables.weighted("squares")), 1 / found.num_pairs)

    def is_found(loss: float, repeats: int) -> bool:
        error = np.sqrt((discordant + loss - loss**2) / (size * repeats / found.num_repeats))
        return normal_power(loss / (error * np.sqrt(repeats)), repeats, 1 - confidence) >= WANTED

    if not found.has_test:
        return Resolution(None, (None,) * len(GOALS))
    return Resolution(
        least(lambda loss: is_found(loss, found.num_repeats), 1.0),
        tuple(fewest(partial(is_found, goal), FEW_REPEATS) for goal in GOALS),
    )


def normal_power(effect: float, repeats: int, alpha: float, runs: int = 1000) -> float:
    """Probability that the test by repeat finds a fall of ``effect`` standard deviations of the repeats' means, which
    are taken as normal: a mean over many trials is. Simulated; standard error 0.013 at 80%."""
    means = np.random.default_rng(0).standard_normal((runs, repeats)) - effect
    is_exact = MIN_REPEATS <= repeats <= _EXACT
    p = signflip.p_values(means) if is_exact else stats.ttest_1samp(means, 0, axis=-1).pvalue
    return float(((p <= alpha + 1e-12) & (means.sum(-1) < 0)).mean())


@dataclass(frozen=True)
class _Pairs:
    """Paired trials of all settings as arrays (pairs,)."""

    stratum: np.ndarray
    repeat: np.ndarray
    values: dict[str, np.ndarray]


class _Tables:
    """Paired scores by stratum (setting and length) and repeat."""

    def __init__(self, sides: Sides, lengths: tuple[int, ...]):
        chosen = [(a, b, np.isin(a.length, lengths) if lengths else np.ones(len(a.length), bool)) for a, b in sides]
        keys = [(k, int(length)) for k, (a, _, some) in enumerate(chosen) for length in np.unique(a.length[some])]
        self.lengths = tuple(sorted({length for _, length in keys}))
        self.settings = np.unique([k for k, _ in keys], return_inverse=True)[1]
        counts = np.bincount(self.settings)
        self.weights = 1 / (len(counts) * counts[self.settings])
        self.repeats = np.unique(np.concatenate([a.repeat[some] for a, _, some in chosen]))
        place = {key: number for number, key in enumerate(keys)}
        stratum = [np.array([place[k, int(x)] for x in a.length[some]], int) for k, (a, _, some) in enumerate(chosen)]
        base = np.concatenate([a.score[some] for a, _, some in chosen])
        other = np.concatenate([b.score[some] for _, b, some in chosen])
        repeat = np.searchsorted(self.repeats, np.concatenate([a.repeat[some] for a, _, some in chosen]))
        shift = other - base
        self._pairs = _Pairs(np.concatenate(stratum), repeat, {
            "base": base, "difference": shift, "squares": shift**2, "lost": (shift < -1e-9).astype(float),
            "gained": (shift > 1e-9).astype(float), "fall": np.maximum(-shift, 0), "rise": np.maximum(shift, 0),
        })

    def sums(self, name: str = "") -> np.ndarray:
        """Sums of these values, the number of pairs without a name: (strata, repeats)."""
        shape = (len(self.weights), len(self.repeats))
        values = self._pairs.values[name] if name else None
        places = self._pairs.stratum * shape[1] + self._pairs.repeat
        return np.bincount(places, values, shape[0] * shape[1]).reshape(shape).astype(float)

    def strata(self, name: str) -> suite.Strata:
        return suite.Strata(self.sums(name), self.sums(), self.weights, self.settings)

    def weighted(self, name: str) -> float:
        """The weighted mean of the strata's means."""
        return float(self.strata(name).mean)


def _test(tables: _Tables, differences: suite.Strata) -> tuple[float, str]:
    num_repeats = len(tables.repeats)
    if num_repeats == 1:
        return float("nan"), two_samples.NONE
    counted = tables.weights / differences.num_trials  # what each pair counts
    if num_repeats >= MIN_REPEATS:
        whole = (counted / counted.min())[:, None]  # so that sums are whole numbers where trials are right or wrong
        return signflip.p_value((whole * differences.sums).sum(0)), "sign flips by repeat"
    factor = (counted * differences.num_trials.sum())[:, None]  # 1 where all count the same
    differing = (tables.sums("lost") + tables.sums("gained")).sum(0) > 0
    p = matched_pairs.clustered_mcnemar_p(
        (factor * differences.sums).sum(0), (factor * differences.sizes).sum(0),
        np.asarray((factor**2 * tables.sums("squares")).sum()), np.asarray(differing.sum()),
    )
    return float(p), "McNemar with effective trials"


def _interval(tables: _Tables, differences: suite.Strata, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Tango's, differences counted in units of their typical size as ``matched_pairs.interval`` does."""
    spread = np.maximum(tables.strata("squares").means - differences.means**2, 0)
    effect = suite.design_effect(differences, spread, confidence)
    size = 1 / (tables.weights**2 / differences.num_trials).sum() / effect
    fall, rise = tables.weighted("fall"), tables.weighted("rise")
    unit = tables.weighted("squares") / (fall + rise) if fall + rise else 1.0
    low, high = matched_pairs.tango(
        np.asarray(rise * size / unit), np.asarray(fall * size / unit), np.asarray(size), confidence
    )
    return np.maximum(low * unit, -1), np.minimum(high * unit, 1)
