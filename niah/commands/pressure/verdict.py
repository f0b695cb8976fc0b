"""What a condition changed in answers and their log-probabilities, and whether that is more than rounding.

Where a condition changes nothing but rounding, it is as likely to make a prompt worse as better: the prompts that
became worse and those that became better are tested with McNemar's exact test, whatever the size of rounding is. What
is smaller than rounding counts as neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log2

import numpy as np

from niah.stats.matched_pairs import mcnemar_p
from niah.stats.significance import holm, is_below

_LEAST, _TIMES, _MOST_OF = 0.05, 3.0, 0.9
"""Nats that are never more than rounding; and the tolerance, so many times what nine of ten prompts show among others
(as the verb shrink has it: three times what two engines show on short prompts)."""


@dataclass(frozen=True)
class Pair:
    """A trial under a condition and alone: right or wrong, the right answer's log-probability (nats, NaN where it was
    not measured), whether the answer's ids are the same (None where an engine does not tell them)."""

    trial: int
    was_right: bool
    is_right: bool
    before: float = float("nan")
    after: float = float("nan")
    is_same: bool | None = None

    @property
    def shift(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class Scale:
    """Sizes in nats: the largest difference between two askings alone, and what nine of ten prompts among others stay
    within (NaN where not measured, or where that condition is damaged itself). ``tolerance`` is beyond both."""

    twice: float = float("nan")
    others: float = float("nan")

    @property
    def tolerance(self) -> float:
        known = [one for one in (self.twice, self.others) if np.isfinite(one)]
        return max(_LEAST, _TIMES * max(known, default=0.0))


@dataclass(frozen=True)
class Effect:
    """``lost`` and ``gained`` are answers that became wrong and right, ``weaker`` and ``stronger`` others whose right
    answer moved by more than ``tolerance`` nats; ``p`` of McNemar's exact test of worse against better, ``adjusted``
    Holm's over all conditions that were tested. ``worse`` are trials, the most damaged first."""

    num: int
    num_same: int | None
    lost: int
    gained: int
    weaker: int
    stronger: int
    largest: float
    tolerance: float
    p: float
    adjusted: float = float("nan")
    worse: tuple[int, ...] = field(default=())

    @property
    def num_worse(self) -> int:
        return self.lost + self.weaker

    @property
    def num_better(self) -> int:
        return self.gained + self.stronger

    def is_named(self, confidence: float) -> bool:
        return is_below(self.adjusted, confidence)


def scale(twice: Sequence[float], others: Sequence[Pair], confidence: float) -> Scale:
    """``twice`` are differences between two askings alone (nats). What ``others`` show is left out where they
    themselves are worse by more than that."""
    sizes = [abs(one) for one in twice if np.isfinite(one)]
    own = Scale(max(sizes)) if sizes else Scale()
    shifts = [abs(pair.shift) for pair in others if np.isfinite(pair.shift)]
    if not shifts or is_below(effect(others, own.tolerance).p, confidence):
        return own
    return replace(own, others=float(np.quantile(shifts, _MOST_OF, method="higher")))


def effect(pairs: Sequence[Pair], tolerance: float) -> Effect:
    """Of one condition; its Holm's p is known with that of the others (``with_holm``)."""
    lost = [pair for pair in pairs if pair.was_right and not pair.is_right]
    gained = [pair for pair in pairs if pair.is_right and not pair.was_right]
    alike = [pair for pair in pairs if pair.is_right == pair.was_right]
    weaker = [pair for pair in alike if pair.shift < -tolerance]
    stronger = [pair for pair in alike if pair.shift > tolerance]
    told = [pair.is_same for pair in pairs if pair.is_same is not None]
    worse, better = len(lost) + len(weaker), len(gained) + len(stronger)
    ordered = sorted([*lost, *weaker], key=lambda pair: pair.shift if np.isfinite(pair.shift) else 0.0)
    return Effect(
        len(pairs), sum(told) if told else None, len(lost), len(gained), len(weaker), len(stronger),
        max((abs(pair.shift) for pair in pairs if np.isfinite(pair.shift)), default=float("nan")), tolerance,
        float(mcnemar_p(np.array(worse), np.array(better))), worse=tuple(pair.trial for pair in ordered),
    )


def with_holm(effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """All that were tested, as one family."""
    adjusted = holm(np.array([one.p for one in effects.values()]))
    return {
        name: replace(one, adjusted=float(p)) for (name, one), p in zip(effects.items(), adjusted, strict=True)
    }


def enough(num_tests: int, confidence: float) -> int:
    """Prompts that have to be worse, and none better, for a condition to be named for certain."""
    return ceil(log2(2 * max(1, num_tests) / (1 - confidence)))
