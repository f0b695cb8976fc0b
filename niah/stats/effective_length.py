"""Up to which length a model still finds its needles: three thresholds and the area under the curve, with intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from niah.records import Row
from niah.stats import clusters
from niah.stats.two_samples import mover
from niah.units import format_length

RULER = 0.856
"""Hsieh et al. (2024), RULER, arXiv:2404.06654, section 4: Llama2-7B's score at 4K."""
NOLIMA = 0.85
"""Modarressi et al. (2025), NoLiMa, arXiv:2502.05167: share of the base score that has to be kept."""
BASE_LENGTH = 1024
"""NoLiMa measures its base score at lengths up to here (tokens): 250, 500 and 1K."""
FIRST_LENGTH = 1000
"""NoLiMa's ladder begins here (tokens): shorter lengths are of the base alone, 1K is of both."""
MIN_BOOTSTRAP = 20
"""Repeats from which the bootstrap's interval holds what it promises (docs/statistics.md); below, lengths' own
intervals."""


@dataclass(frozen=True)
class EffectiveLength:
    """An effective length in tokens; 0 means shorter than ``first``, the first length of the definition's ladder.

    ``threshold`` is the accuracy needed. ``is_open``: the ladder's last length passes, so the value is a lower bound;
    the same for ``high_is_open`` and the interval's upper end. ``undefined`` says why there is none, and is empty where
    there is one.
    """

    name: str
    threshold: float
    length: int
    low: int
    high: int
    is_open: bool
    high_is_open: bool
    first: int = 0
    undefined: str = ""


@dataclass(frozen=True)
class Summary:
    """All definitions for one run. ``area`` is a mean accuracy, every doubling of the length counting the same."""

    lengths: tuple[int, ...]
    num_repeats: int
    base: float
    base_lengths: tuple[int, ...]
    effective: tuple[EffectiveLength, ...]
    area: float
    area_low: float
    area_high: float


def summary(rows: Iterable[Row], threshold: float | None, confidence: float) -> Summary | None:
    """None where no trial has an answer. ``threshold`` is the user's own, an accuracy from 0 to 1."""
    answered = [row for row in rows if row.is_answered]
    if not answered:
        return None
    lengths, place = np.unique([row.length for row in answered], return_inverse=True)
    repeats, cluster = np.unique([row.repeat for row in answered], return_inverse=True)
    shape, score = (len(lengths), len(repeats)), np.array([row.score or 0.0 for row in answered])
    sums, sizes = (
        np.bincount(place * shape[1] + cluster, values, shape[0] * shape[1]).reshape(shape).astype(float)
        for values in (score, None)
    )
    squares = np.bincount(place, score**2, shape[0])
    base, passing = nolima(sums, sizes, squares, lengths, confidence)
    levels = [("RULER, 85.6%", RULER)] + ([(f"your {threshold:.1%}", threshold)] if threshold is not None else [])
    found = [(name, level, thresholds(sums, sizes, squares, level, confidence)) for name, level in levels]
    is_drawn = len(repeats) >= MIN_BOOTSTRAP
    if is_drawn:
        found = [
            (name, level, (counts[0], *bootstrap(sums, sizes, level, lengths, confidence)))
            for name, level, counts in found
        ]
        passing = passing[0], *bootstrap(sums, sizes, None, lengths, confidence)
    mean, low, high = area(sums, sizes, lengths, confidence)
    effective = [of_counts(name, level, lengths, counts) for name, level, counts in found]
    effective.insert(1, _nolima(base, lengths, passing))
    return Summary(
        tuple(lengths.tolist()), len(repeats), base, tuple(lengths[base_lengths(lengths)].tolist()), tuple(effective),
        float(mean), float(low), float(high),
    )


def of_counts(
    name: str, threshold: float, lengths: np.ndarray, counts: Sequence[np.ndarray], undefined: str = ""
) -> EffectiveLength:
    """From how many of the ascending ``lengths`` pass: as measured, at least, at most."""
    if undefined:
        return EffectiveLength(name, float(threshold), 0, 0, 0, False, False, undefined=undefined)
    reached, least, most = map(int, counts)
    places = reached, min(reached, least), max(reached, most)  # a percentile may pass by what was seen
    length, low, high = (0 if count == 0 else int(lengths[count - 1]) for count in places)
    last = int(lengths[-1])
    return EffectiveLength(
        name, float(threshold), length, low, high, length == last, high == last, first=int(lengths[0])
    )


def _nolima(base: float, lengths: np.ndarray, counts: Sequence[np.ndarray]) -> EffectiveLength:
    where = ", ".join(map(format_length, lengths[base_lengths(lengths)].tolist()))
    own, undefined = lengths[nolima_ladder(lengths)], ""
    if not base:
        undefined = f"the base score, at {where}, is 0"
    elif not len(own):
        undefined = f"all lengths are of the base ({where}); its ladder begins at 1K"
    return of_counts(f"NoLiMa, 85% of {base:.3f} at {where}", NOLIMA * base, own, counts, undefined)


def reach(lengths: Sequence[int], scores: Sequence[float], threshold: float) -> int:
    """The effective length of a row of scores: the last of the ascending ``lengths`` before the first score below the
    threshold; 0 where the first one is below. Scores and threshold in one unit; NoLiMa's threshold is 0.85 x base."""
    passed = int(leading(np.asarray(scores, dtype=float) >= threshold - 1e-9))
    return int(lengths[passed - 1]) if passed else 0


def leading(passes: np.ndarray) -> np.ndarray:
    """How many lengths pass before the first that does not (last axis). The first failure ends it, even if later
    ones pass."""
    return np.asarray(np.logical_and.accumulate(passes, axis=-1).sum(-1))


def thresholds(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, threshold: float, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of lengths up to the effective one, and its interval's ends, from (..., lengths, repeats).

    The interval holds every length that the lengths' own intervals (Wilson, effective trials) do not rule out: its
    lower end is the last length up to which all lie above the threshold, its upper end the last before one lies below.
    """
    low, high = clusters.wilson(sums, sizes, sum_squares, confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums.sum(-1) / sizes.sum(-1)
    return leading(mean >= threshold), leading(low >= threshold), leading(~(high < threshold))


def base_lengths(lengths: np.ndarray) -> np.ndarray:
    """Bool: the lengths of the base score, those up to 1,024 tokens, else the shortest one."""
    short = lengths <= BASE_LENGTH
    return short if short.any() else lengths == lengths[0]


def nolima_ladder(lengths: np.ndarray) -> np.ndarray:
    """Bool: the lengths that are held against the base score. 1K is one of them even where the base is measured there
    too, as in the published table; so is a base length above 1K."""
    return np.asarray(lengths >= FIRST_LENGTH)


def _is_base_itself(lengths: np.ndarray) -> np.ndarray:
    """Bool: the length that is all of the base keeps 100% of it."""
    short = base_lengths(lengths)
    return short if short.sum() == 1 else np.zeros_like(short)


def nolima(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, lengths: np.ndarray, confidence: float
) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The base score and the same three numbers for 85% of it, counted in lengths of ``nolima_ladder``; the base's own
    uncertainty is in the interval.

    The base pools the short lengths, where NoLiMa takes the best of three: the best of noisy scores is too high.
    Interval of ``score - 0.85 base``: square and add (``two_samples.mover``), which takes the two as independent; they
    share repeats, so it errs to the wide side.
    """
    short = base_lengths(lengths)
    short_sums, short_sizes = sums[..., short, :].sum(-2), sizes[..., short, :].sum(-2)
    base_low, base_high = clusters.wilson(short_sums, short_sizes, sum_squares[..., short].sum(-1), confidence)
    low, high = clusters.wilson(sums, sizes, sum_squares, confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        base, mean = short_sums.sum(-1) / short_sizes.sum(-1), sums.sum(-1) / sizes.sum(-1)
    ends = mover(base[..., None], (base_low[..., None], base_high[..., None]), mean, (low, high), NOLIMA)
    passes = mean - NOLIMA * base[..., None] >= 0, ends[0] >= 0, ~(ends[1] < 0)
    own, same = nolima_ladder(lengths), _is_base_itself(lengths)
    reached, low, high = (leading((one | same)[..., own]) for one in passes)
    return base if np.ndim(base) else float(base), (reached, low, high)


def bootstrap(
    sums: np.ndarray, sizes: np.ndarray, threshold: float | None, lengths: np.ndarray, confidence: float,
    draws: int = 2000,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the number of lengths, repeats drawn with replacement; threshold None is NoLiMa's, in
    lengths of its ladder, none where a draw's base is 0.

    ``sums`` and ``sizes`` are (..., lengths, repeats).
    """
    counts = clusters.resamples(sums.shape[-1], draws)
    drawn, room = sums @ counts, sizes @ counts
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = drawn / room
        if threshold is None:
            short = base_lengths(lengths)
            level = NOLIMA * drawn[..., short, :].sum(-2, keepdims=True) / room[..., short, :].sum(-2, keepdims=True)
            passes = ((mean >= level) | _is_base_itself(lengths)[:, None]) & (level > 0)
            passes = passes[..., nolima_ladder(lengths), :]
        else:
            passes = mean >= threshold
    reached = np.logical_and.accumulate(passes, axis=-2).sum(-2)
    tail = (1 - confidence) / 2
    low, high = np.quantile(reached, [tail, 1 - tail], axis=-1, method="inverted_cdf")
    return low, high


def area(
    sums: np.ndarray, sizes: np.ndarray, lengths: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area under accuracy over log2(length), as a mean accuracy (trapezoids), with its interval.

    Michelangelo's MRCR reports it without one.
    """
    steps = np.log2(lengths.astype(float))
    weights = np.ones(1) if len(steps) == 1 else np.convolve(np.diff(steps), [0.5, 0.5]) / (steps[-1] - steps[0])
    return weighted(sums, sizes, weights, confidence)


def ruler_weights(num_lengths: int) -> tuple[np.ndarray, np.ndarray]:
    """Of RULER's two weighted means over the lengths of a ladder: wAvg. (inc), where the weight rises linearly with the
    place on the ladder, and wAvg. (dec), where it falls. Each sums to 1."""
    rising = np.arange(1, num_lengths + 1) / (num_lengths * (num_lengths + 1) / 2)
    return rising, rising[::-1]


def weighted(
    sums: np.ndarray, sizes: np.ndarray, weights: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the lengths' accuracies with weights (lengths,) that sum to 1, and its interval; ``sums`` and ``sizes``
    are (..., lengths, repeats).

    A weighted mean of trials, so Wilson with effective trials again.
    """
    n = sizes.sum(-1)
    factors = (weights * n.sum(-1, keepdims=True) / np.maximum(n, 1))[..., None]
    weighted, room = (factors * sums).sum(-2), (factors * sizes).sum(-2)
    low, high = clusters.wilson(weighted, room, weighted.sum(-1), confidence)
    return weighted.sum(-1) / room.sum(-1), low, high
