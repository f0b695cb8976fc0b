"""The graded signal: how much less probable the right answer became, in nats, and what of it is more than chance.

Pairs of one prompt, as ``comparison`` has them. The claim is about the log-probability of the right answer under
teacher forcing, not about right and wrong: it moves before answers flip, so it needs fewer repeats
(docs/statistics.md).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr

from niah.stats import clusters, signflip, two_samples
from niah.stats.significance import following, holm, is_below

MIN_REPEATS = 6
"""Below, sign flips by repeat cannot reach p = 0.05, and Student's t of the repeats decides."""
FLIPS, STUDENT = "sign flips by repeat", "t by repeat"


@dataclass(frozen=True)
class Signal:
    """Mean of ``other - base`` in log-probability of the right answer (nats), negative where the other is less sure.

    ``base`` and ``other`` are mean probabilities of the right answer (0 to 1): what sampling at temperature 1 would
    write, the beginning of the answer given. ``spread`` is the standard deviation of the repeats' means (nats). ``p``
    is of the test named in ``test``, NaN with one repeat; ``adjusted_p`` is Holm's, over the lengths of a comparison
    or over all comparisons. ``low`` to ``high`` leaves 0 out where the test does.
    """

    lengths: tuple[int, ...]
    num_pairs: int
    num_repeats: int
    mean: float
    low: float
    high: float
    p: float
    test: str
    adjusted_p: float = float("nan")
    base: float = float("nan")
    other: float = float("nan")
    spread: float = float("nan")

    @property
    def has_test(self) -> bool:
        return not np.isnan(self.p)

    def is_significant(self, confidence: float) -> bool:
        return is_below(self.adjusted_p, confidence)


def signals(
    length: np.ndarray, repeat: np.ndarray, base: np.ndarray, other: np.ndarray, confidence: float
) -> list[Signal]:
    """Overall, then each length, these with Holm's p. ``base`` and ``other`` (pairs,) are log-probabilities in nats."""
    everything = np.ones(len(length), bool)
    overall = _signal(length, repeat, base, other, everything, confidence)
    lengths = [_signal(length, repeat, base, other, length == one, confidence) for one in np.unique(length)]
    return [*with_holm([overall], confidence), *with_holm(lengths, confidence)]


def with_holm(found: list[Signal], confidence: float) -> list[Signal]:
    """One family: Holm's p, and intervals that leave 0 out where it is at most 1 - ``confidence``."""
    ps = holm(np.array([one.p for one in found]))
    ends = [following(one.low, one.high, one.mean, p, confidence) for one, p in zip(found, ps, strict=True)]
    return [
        replace(one, adjusted_p=float(p), low=float(low), high=float(high))
        for one, p, (low, high) in zip(found, ps, ends, strict=True)
    ]


def _signal(
    length: np.ndarray, repeat: np.ndarray, base: np.ndarray, other: np.ndarray, part: np.ndarray, confidence: float
) -> Signal:
    """Interval: cluster-robust t. Test: sign flips by repeat, which is exact where the runs are exchangeable.

    With 2 to 5 repeats the test is the interval's own t. With one repeat there is none, and the interval is of its
    pairs: of this needle in this text alone.
    """
    base, other = base[part], other[part]
    shift = other - base
    names, labels = np.unique(repeat[part], return_inverse=True)
    sums, sizes = clusters.clustered(labels, shift, len(names))
    if len(names) > 1:
        low, high = clusters.student(sums, sizes, confidence)
    else:
        low, high = clusters.student(shift, np.ones_like(shift), confidence)
    p, test = p_value(sums, sizes)
    return Signal(
        tuple(np.unique(length[part]).tolist()), len(shift), len(names), float(shift.mean()), float(low), float(high),
        p, test, base=float(np.exp(base).mean()), other=float(np.exp(other).mean()),
        spread=float((sums / sizes).std(ddof=1)) if len(names) > 1 else float("nan"),
    )


def p_value(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, str]:
    """Two-sided p of a mean of 0 and the name of its test, from sums and sizes of each repeat (repeats,)."""
    if len(sums) == 1:
        return float("nan"), two_samples.NONE
    if len(sums) >= MIN_REPEATS:
        return signflip.p_value(sums), FLIPS
    return float(_student_p(sums, sizes)), STUDENT


def p_values(means: np.ndarray) -> np.ndarray:
    """The same for many simulated comparisons (runs, repeats) whose repeats have equally many pairs."""
    if means.shape[-1] == 1:
        return np.full(len(means), np.nan)
    if means.shape[-1] >= MIN_REPEATS:
        return signflip.p_values(means / np.maximum(np.abs(means).max(-1, keepdims=True), 1e-300))
    return _student_p(means, np.ones_like(means))


def _student_p(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of the interval's t (``clusters.student``); 1 where nothing differs at all. Repeats that all differ by the same
    have no spread to go by: sign flips' smallest p, which 2 to 5 repeats cannot be significant with."""
    n, repeats = sizes.sum(-1), sums.shape[-1]
    mean = sums.sum(-1) / n
    error = np.sqrt(repeats / (repeats - 1) * ((sums - mean[..., None] * sizes) ** 2).sum(-1)) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(repeats - 1, -np.abs(mean) / error)
    p = np.where(error > 1e-9 * np.abs(mean), p, signflip.smallest_p(repeats))
    return np.asarray(np.where(np.abs(mean) > 0, p, 1.0))
