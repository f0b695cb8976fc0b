"""Up to which length a model still finds its needles: three thresholds and the area under the curve, with intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from niah.records import Outcome, Row
from niah.stats import clusters
from niah.stats.two_samples import mover

RULER = 0.856
"""Hsieh et al. (2024), RULER, arXiv:2404.06654, section 4: Llama2-7B's score at 4K."""
NOLIMA = 0.85
"""Modarressi et al. (2025), NoLiMa, arXiv:2502.05167: share of the base score that has to be kept."""
BASE_LENGTH = 1024
"""NoLiMa measures its base score at lengths up to here (tokens)."""
MIN_BOOTSTRAP = 10
"""Repeats from which the bootstrap's interval holds what it promises (docs/statistics.md); below, lengths' own
intervals."""


@dataclass(frozen=True)
class EffectiveLength:
    """An effective length in tokens; 0 means shorter than the ladder's first length.

    ``threshold`` is the accuracy needed. ``is_open``: the ladder's last length passes, so the value is a lower bound;
    the same for ``high_is_open`` and the interval's upper end.
    """

    name: str
    threshold: float
    length: int
    low: int
    high: int
    is_open: bool
    high_is_open: bool


@dataclass(frozen=True)
class Summary:
    """All definitions for one run. ``area`` is a mean accuracy, every doubling of the length counting the same."""

    lengths: tuple[int, ...]
    first: int
    num_repeats: int
    base: float
    base_lengths: tuple[int, ...]
    effective: tuple[EffectiveLength, ...]
    area: float
    area_low: float
    area_high: float


def summary(rows: Iterable[Row], threshold: float | None, confidence: float) -> Summary | None:
    """None where no trial has an answer. ``threshold`` is the user's own, an accuracy from 0 to 1."""
    answered = [row for row in rows if Outcome(row.outcome).is_answer]
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
    found.insert(1, (f"NoLiMa, 85% of {base:.3f}", NOLIMA * base, passing))
    if len(repeats) >= MIN_BOOTSTRAP:
        short = base_lengths(lengths)
        for number, (name, level, counts) in enumerate(found):
            drawn_level = None if name.startswith("NoLiMa") else level
            found[number] = name, level, (counts[0], *bootstrap(sums, sizes, drawn_level, short, confidence))
    mean, low, high = area(sums, sizes, lengths, confidence)
    return Summary(
        tuple(lengths.tolist()), int(lengths[0]), len(repeats), base,
        tuple(lengths[base_lengths(lengths)].tolist()),
        tuple(_effective(name, level, lengths, counts) for name, level, counts in found),
        float(mean), float(low), float(high),
    )


def _effective(name: str, threshold: float, lengths: np.ndarray, counts: Sequence[np.ndarray]) -> EffectiveLength:
    length, low, high = (0 if count == 0 else int(lengths[count - 1]) for count in map(int, counts))
    last = int(lengths[-1])
    return EffectiveLength(name, float(threshold), length, low, high, length == last, high == last)


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


def nolima(
    sums: np.ndarray, sizes: np.ndarray, sum_squares: np.ndarray, lengths: np.ndarray, confidence: float
) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The base score and the same three numbers for 85% of it; the base's own uncertainty is in the interval.

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
    reached, low, high = (leading(one | short) for one in passes)
    return base if np.ndim(base) else float(base), (reached, low, high)


def bootstrap(
    sums: np.ndarray, sizes: np.ndarray, threshold: float | None, short: np.ndarray, confidence: float,
    draws: int = 2000,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the number of lengths, repeats drawn with replacement; threshold None is NoLiMa's.

    ``sums`` and ``sizes`` are (..., lengths, repeats).
    """
    counts = clusters.resamples(sums.shape[-1], draws).T.astype(float)
    drawn, room = sums @ counts, sizes @ counts
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = drawn / room
        if threshold is None:
            level = NOLIMA * drawn[..., short, :].sum(-2, keepdims=True) / room[..., short, :].sum(-2, keepdims=True)
            passes = (mean >= level) | short[:, None]
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

    Michelangelo's MRCR reports it without one. A weighted mean of trials, so Wilson with effective trials again.
    """
    steps = np.log2(lengths.astype(float))
    weights = np.ones(1) if len(steps) == 1 else np.convolve(np.diff(steps), [0.5, 0.5]) / (steps[-1] - steps[0])
    n = sizes.sum(-1)
    factors = (weights * n.sum(-1, keepdims=True) / np.maximum(n, 1))[..., None]
    weighted, room = (factors * sums).sum(-2), (factors * sizes).sum(-2)
    low, high = clusters.wilson(weighted, room, weighted.sum(-1), confidence)
    return weighted.sum(-1) / room.sum(-1), low, high
