"""From two runs' answers to differences with intervals and p-values, overall, per length and per cell."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from niah.stats import matched_pairs, signflip, two_samples
from niah.stats.signal import Signal, signals, with_holm
from niah.stats.significance import following, holm, is_below, picked_confidence

MIN_REPEATS = 6
"""Below, sign flips by repeat cannot reach p = 0.05 (2 / 2^5 = 0.06), and a test with a variance estimate decides."""


@dataclass(frozen=True)
class Answers:
    """One run's answered trials as arrays (trials,): depths in percent, scores in [0, 1], log-probabilities in nats."""

    length: np.ndarray
    depth: np.ndarray
    repeat: np.ndarray
    score: np.ndarray
    logprob: np.ndarray


@dataclass(frozen=True)
class Difference:
    """``other - base`` in accuracy (0 to 1) over some lengths, or one cell where ``depth`` is given.

    ``num_lost`` pairs are worse in the other run, ``num_gained`` better; without pairs both are 0 and ``num_pairs`` is
    the trials of the smaller run. ``p`` is the verdict's, by the test ``decided_by``; ``adjusted_p`` is Holm's. Both
    are NaN where there are too few repeats for a test. ``low`` to ``high`` leaves 0 out where the test does, and only
    there (``following``).
    """

    lengths: tuple[int, ...]
    depth: float | None
    num_pairs: int
    num_repeats: int
    base: float
    other: float
    difference: float
    low: float
    high: float
    num_lost: int
    num_gained: int
    mcnemar_p: float
    p: float
    decided_by: str
    adjusted_p: float = float("nan")

    def is_noninferior(self, margin: float) -> bool:
        """A loss of ``margin`` (0 to 1) or more is ruled out: the interval's lower end is above it. Never without a
        test."""
        return bool(self.low > -margin) and self.has_test

    @property
    def has_test(self) -> bool:
        return not math.isnan(self.p)

    def is_significant(self, confidence: float) -> bool:
        return is_below(self.adjusted_p, confidence)


@dataclass(frozen=True)
class Comparison:
    """A run against the baseline."""

    is_paired: bool
    overall: Difference
    lengths: list[Difference]
    cells: list[Difference]
    signal: Signal | None
    signal_lengths: list[Signal]


def comparisons(
    sides: list[tuple[Answers, Answers, bool]], confidence: float
) -> list[Comparison]:
    """Each (baseline, other, is_paired); paired answers are in the same order.

    Holm (1979, Scandinavian Journal of Statistics 6) over the lengths of each comparison, over its cells, and over the
    overall differences of all comparisons: families, as each answers a question of its own. Intervals follow these p.
    So does the graded signal, in families of its own.
    """
    found = [_one(*side, confidence) for side in sides]
    overall = adjusted([one.overall for one in found], confidence)
    graded = iter(with_holm([one.signal for one in found if one.signal], confidence))
    return [
        replace(
            one, overall=all_together, lengths=judged(one.lengths, partial(pooled, *side), confidence),
            cells=adjusted(one.cells, confidence), signal=next(graded) if one.signal else None,
        )
        for one, all_together, side in zip(found, overall, sides, strict=True)
    ]


def pooled(a: Answers, b: Answers, is_paired: bool, lengths: tuple[int, ...], confidence: float) -> Difference:
    """One difference over several lengths."""
    chosen = [np.isin(side.length, lengths) for side in (a, b)]
    return _groups(_where(a, chosen[0]), _where(b, chosen[1]), is_paired, "all", confidence)[0]


def adjusted(differences: list[Difference], confidence: float) -> list[Difference]:
    """With Holm's p, and intervals that follow it."""
    found = holm(np.array([d.p for d in differences]))
    return [_with_p(d, float(p), confidence) for d, p in zip(differences, found, strict=True)]


def _with_p(one: Difference, p: float, confidence: float) -> Difference:
    return replace(_settled(one, p, confidence), adjusted_p=p)


def _settled(one: Difference, p: float, confidence: float) -> Difference:
    """With the interval that follows this p."""
    low, high = following(one.low, one.high, one.difference, p, confidence)
    return replace(one, low=float(low), high=float(high))


def judged(
    differences: list[Difference], pooled: Callable[[tuple[int, ...], float], Difference], confidence: float
) -> list[Difference]:
    """Differences at the lengths of one comparison with Holm's p; ``pooled`` gives one over some of the lengths.

    Lengths that are significant in one direction stand in one sentence, pooled: where their pooled interval for
    picked lengths would reach 0, none of them is significant.
    """
    lengths = adjusted(differences, confidence)
    found = lengths
    for sign in (-1, 1):
        picked = [d.lengths[0] for d in lengths if sign * d.difference > 0 and d.is_significant(confidence)]
        if picked:
            share = len(picked) / len(lengths)
            level = picked_confidence(confidence, len(picked), len(lengths))
            least = min(1.0, pooled(tuple(picked), level).p / share)
            found = [
                _with_p(d, max(d.adjusted_p, least), confidence) if d.lengths[0] in picked else d for d in found
            ]
    return found


def _one(a: Answers, b: Answers, is_paired: bool, confidence: float) -> Comparison:
    signal = []
    if is_paired:
        measured = np.isfinite(a.logprob) & np.isfinite(b.logprob)
        pairs = a.length[measured], a.repeat[measured], a.logprob[measured], b.logprob[measured]
        signal = signals(*pairs, confidence) if measured.any() else []
    return Comparison(
        is_paired, _groups(a, b, is_paired, "all", confidence)[0], _groups(a, b, is_paired, "length", confidence),
        _groups(a, b, is_paired, "cell", confidence), signal[0] if signal else None, signal[1:],
    )


def _where(side: Answers, chosen: np.ndarray) -> Answers:
    return Answers(*(getattr(side, name)[chosen] for name in Answers.__dataclass_fields__))


class _Tables:
    """Sums of both sides by group and repeat, (groups, repeats); a group is all, a length or a cell that both have."""

    def __init__(self, a: Answers, b: Answers, by: str):
        self.lengths = np.unique(np.concatenate([a.length, b.length]))
        self.depths = np.unique(np.concatenate([a.depth, b.depth]))
        self.by = by
        own = self._keys(a), self._keys(b)
        self.keys = np.intersect1d(*own)
        self.repeats = np.unique(np.concatenate([a.repeat, b.repeat]))
        self.known = [np.isin(keys, self.keys) for keys in own]
        self._places = [
            np.searchsorted(self.keys, keys[known]) * len(self.repeats)
            + np.searchsorted(self.repeats, side.repeat[known])
            for side, keys, known in zip((a, b), own, self.known, strict=True)
        ]

    def _keys(self, side: Answers) -> np.ndarray:
        """The number of each trial's group."""
        if self.by == "all":
            return np.zeros(len(side.length), np.int64)
        length = np.searchsorted(self.lengths, side.length) * len(self.depths)
        return length + np.searchsorted(self.depths, side.depth) if self.by == "cell" else length

    def sums(self, side: int, values: np.ndarray | None = None) -> np.ndarray:
        """Sums of ``values`` of one side, or the number of its trials."""
        shape = (len(self.keys), len(self.repeats))
        weights = None if values is None else values[self.known[side]]
        return np.bincount(self._places[side], weights, shape[0] * shape[1]).reshape(shape).astype(float)

    def names(self, a: Answers) -> list[tuple[tuple[int, ...], float | None]]:
        """Lengths and depth of each group."""
        everything = tuple(np.unique(a.length).tolist())
        return [
            (
                everything if self.by == "all" else (int(self.lengths[key // len(self.depths)]),),
                float(self.depths[key % len(self.depths)]) if self.by == "cell" else None,
            )
            for key in self.keys
        ]


def _groups(a: Answers, b: Answers, is_paired: bool, by: str, confidence: float) -> list[Difference]:
    tables = _Tables(a, b, by)
    sums = tables.sums(0, a.score), tables.sums(1, b.score)
    if is_paired:
        return _paired(tables, a, b.score - a.score, sums, confidence)
    sizes = tables.sums(0), tables.sums(1)
    found = [
        Difference(*name, *two_samples.difference(sums[0][k], sizes[0][k], sums[1][k], sizes[1][k], confidence))
        for k, name in enumerate(tables.names(a))
    ]
    return [_settled(d, d.p, confidence) for d in found]


def _paired(
    tables: _Tables, a: Answers, shift: np.ndarray, scores: tuple[np.ndarray, np.ndarray], confidence: float
) -> list[Difference]:
    sums, sizes, squares = tables.sums(0, shift), tables.sums(0), tables.sums(0, shift**2).sum(-1)
    lost, gained = tables.sums(0, shift < -1e-9), tables.sums(0, shift > 1e-9)
    differing = (lost + gained > 0).sum(-1)
    n, num_repeats = sizes.sum(-1), (sizes > 0).sum(-1)
    low, high = matched_pairs.interval(
        sums, sizes, tables.sums(0, np.maximum(shift, 0)).sum(-1), tables.sums(0, np.maximum(-shift, 0)).sum(-1),
        squares, differing, confidence,
    )
    clustered = matched_pairs.clustered_mcnemar_p(sums, sizes, squares, differing)
    num_lost, num_gained = lost.sum(-1), gained.sum(-1)
    exact = matched_pairs.mcnemar_p(num_lost, num_gained)
    found = []
    for k, name in enumerate(tables.names(a)):
        if num_repeats[k] == 1:
            p, test = float("nan"), two_samples.NONE
        elif n[k] <= num_repeats[k]:
            p, test = float(exact[k]), "McNemar"
        elif num_repeats[k] < MIN_REPEATS:
            p, test = float(clustered[k]), "McNemar with effective trials"
        else:
            p, test = signflip.p_value(sums[k]), "sign flips by repeat"
        found.append(Difference(
            *name, num_pairs=int(n[k]), num_repeats=int(num_repeats[k]), base=float(scores[0][k].sum() / n[k]),
            other=float(scores[1][k].sum() / n[k]), difference=float(sums[k].sum() / n[k]), low=float(low[k]),
            high=float(high[k]), num_lost=int(num_lost[k]), num_gained=int(num_gained[k]), mcnemar_p=float(exact[k]),
            p=p, decided_by=test,
        ))
    return [_settled(d, d.p, confidence) for d in found]
