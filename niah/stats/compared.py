"""From two runs' answers to differences with intervals and p-values, overall, per length and per cell."""

from dataclasses import dataclass, replace

import numpy as np
from statsmodels.stats.multitest import multipletests

from niah.stats import paired, signflip, unpaired
from niah.stats.signal import Signal, signals

MIN_REPEATS = 6
"""Below, sign flips by repeat cannot reach p = 0.05 (2 / 2^5 = 0.06)."""


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
    the trials of the smaller run. ``p`` is the verdict's, by the test ``decided_by``; ``adjusted_p`` is Holm's.
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
        """A loss of ``margin`` (0 to 1) or more is ruled out: the interval's lower end is above it."""
        return bool(self.low > -margin)

    def is_significant(self, confidence: float) -> bool:
        return bool(self.adjusted_p <= 1 - confidence + 1e-12)


@dataclass(frozen=True)
class Comparison:
    """A run against the baseline."""

    is_paired: bool
    overall: Difference
    lengths: list[Difference]
    cells: list[Difference]
    signal: Signal | None
    signal_lengths: list[Signal]


def compared(
    sides: list[tuple[Answers, Answers, bool]], confidence: float
) -> list[Comparison]:
    """Each (baseline, other, is_paired); paired answers are in the same order.

    Holm (1979, Scandinavian Journal of Statistics 6) over the lengths of all comparisons, over their cells, and over
    their overall differences: three families, as each answers a question of its own.
    """
    found = [_one(*side, confidence) for side in sides]
    adjusted = {
        part: iter(_holm([d for one in found for d in _listed(getattr(one, part))]))
        for part in ("overall", "lengths", "cells")
    }
    return [
        replace(
            one, overall=next(adjusted["overall"]), lengths=[next(adjusted["lengths"]) for _ in one.lengths],
            cells=[next(adjusted["cells"]) for _ in one.cells],
        )
        for one in found
    ]


def pooled(a: Answers, b: Answers, is_paired: bool, lengths: tuple[int, ...], confidence: float) -> Difference:
    """One difference over several lengths."""
    chosen = [np.isin(side.length, lengths) for side in (a, b)]
    return _groups(_where(a, chosen[0]), _where(b, chosen[1]), is_paired, "all", confidence)[0]


def _listed(part) -> list:
    return part if isinstance(part, list) else [part]


def _holm(differences: list[Difference]) -> list[Difference]:
    if not differences:
        return []
    adjusted = multipletests([d.p for d in differences], method="holm")[1]
    return [replace(d, adjusted_p=float(p)) for d, p in zip(differences, adjusted, strict=True)]


def _one(a: Answers, b: Answers, is_paired: bool, confidence: float) -> Comparison:
    signal = []
    if is_paired:
        measured = ~(np.isnan(a.logprob) | np.isnan(b.logprob))
        shift = (b.logprob - a.logprob)[measured]
        signal = signals(a.length[measured], a.repeat[measured], shift, confidence) if measured.any() else []
    return Comparison(
        is_paired, _groups(a, b, is_paired, "all", confidence)[0], _groups(a, b, is_paired, "length", confidence),
        _groups(a, b, is_paired, "cell", confidence), signal[0] if signal else None, signal[1:],
    )


def _where(side: Answers, chosen: np.ndarray) -> Answers:
    return Answers(*(getattr(side, name)[chosen] for name in Answers.__dataclass_fields__))


def _keys(side: Answers, by: str) -> np.ndarray:
    """What makes a group, as structured values that sort by length, then depth."""
    length = np.zeros_like(side.length) if by == "all" else side.length
    depth = side.depth if by == "cell" else np.zeros_like(side.depth)
    return np.rec.fromarrays([length, depth], names="length,depth")


def _groups(a: Answers, b: Answers, is_paired: bool, by: str, confidence: float) -> list[Difference]:
    keys_a, keys_b = _keys(a, by), _keys(b, by)
    keys = np.intersect1d(keys_a, keys_b)
    repeats = np.unique(np.concatenate([a.repeat, b.repeat]))
    tables = []
    for side, own in ((a, keys_a), (b, keys_b)):
        known = np.isin(own, keys)
        group, repeat = np.searchsorted(keys, own[known]), np.searchsorted(repeats, side.repeat[known])
        tables.append((side, known, group * len(repeats) + repeat))
    shape = (len(keys), len(repeats))

    def table(number: int, values: np.ndarray | None = None) -> np.ndarray:
        _, known, place = tables[number]
        return np.bincount(place, None if values is None else values[known], len(keys) * len(repeats)).reshape(shape).astype(float)

    lengths = [tuple(np.unique(a.length).tolist()) if by == "all" else (int(key[0]),) for key in keys]
    depths = [float(key[1]) if by == "cell" else None for key in keys]
    sums_a, sums_b, sizes_a, sizes_b = table(0, a.score), table(1, b.score), table(0), table(1)
    if not is_paired:
        return [
            Difference(length, depth, *unpaired.difference(sums_a[k], sizes_a[k], sums_b[k], sizes_b[k], confidence))
            for k, (length, depth) in enumerate(zip(lengths, depths, strict=True))
        ]
    shift = b.score - a.score
    num_lost, num_gained = table(0, shift < -1e-9).sum(-1), table(0, shift > 1e-9).sum(-1)
    sums, sizes = sums_b - sums_a, sizes_a
    n, num_repeats = sizes.sum(-1), (sizes > 0).sum(-1)
    differing = (table(0, np.abs(shift) > 1e-9) > 0).sum(-1)
    low, high = paired.interval(
        sums, sizes, table(0, np.maximum(shift, 0)).sum(-1), table(0, np.maximum(-shift, 0)).sum(-1),
        table(0, shift**2).sum(-1), differing, confidence,
    )
    found = []
    for k in range(len(keys)):
        exact = paired.mcnemar_p(int(num_lost[k]), int(num_gained[k]))
        by_repeat = num_repeats[k] >= MIN_REPEATS and n[k] > num_repeats[k]
        found.append(Difference(
            lengths=lengths[k], depth=depths[k], num_pairs=int(n[k]), num_repeats=int(num_repeats[k]),
            base=float(sums_a[k].sum() / n[k]), other=float(sums_b[k].sum() / n[k]),
            difference=float(sums[k].sum() / n[k]), low=float(low[k]), high=float(high[k]),
            num_lost=int(num_lost[k]), num_gained=int(num_gained[k]), mcnemar_p=exact,
            p=signflip.p_value(sums[k]) if by_repeat else exact,
            decided_by="sign flips by repeat" if by_repeat else "McNemar",
        ))
    return found
