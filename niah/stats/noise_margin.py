"""How strong a needle has to be until it is found: from counts at rising strengths to thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

EXACT = "exact"
"""Stands where a KV dtype would: exact arithmetic, without an engine."""


@dataclass(frozen=True)
class Share:
    """``found`` of ``trials`` with a needle of so many ``nats`` at one length, under ``dtype`` or in exact
    arithmetic."""

    dtype: str
    length: int
    nats: float
    found: int
    trials: int


@dataclass(frozen=True)
class Threshold:
    """Nats at which half of the trials are found (interpolated between strengths), and at which all are; None beyond
    the strengths that were tried."""

    dtype: str
    length: int
    half: float | None
    all: float | None

    def above(self, exact: "Threshold | None") -> float | None:
        """Nats by which ``all`` lies above that of exact arithmetic: the noise margin. None where one is not known."""
        return None if exact is None or self.all is None or exact.all is None else self.all - exact.all


def thresholds(shares: Sequence[Share]) -> list[Threshold]:
    """One for each dtype and length, in the order of the shares."""
    return [
        _threshold(dtype, length, [share for share in shares if (share.dtype, share.length) == (dtype, length)])
        for dtype, length in dict.fromkeys((share.dtype, share.length) for share in shares)
    ]


def _threshold(dtype: str, length: int, shares: Sequence[Share]) -> Threshold:
    shares = sorted(shares, key=lambda share: share.nats)
    levels, parts = [share.nats for share in shares], [share.found / share.trials for share in shares]
    last_short = max((place for place, part in enumerate(parts) if part < 1), default=-1)
    whole = levels[last_short + 1] if last_short + 1 < len(levels) else None
    # the last crossing: shares need not rise at every step
    crossing = max((place for place, part in enumerate(parts) if part < 0.5), default=-1)
    half: float | None
    if crossing + 1 == len(parts):
        half = None
    elif crossing < 0:
        half = levels[0]
    else:
        low, high = parts[crossing], parts[crossing + 1]
        half = levels[crossing] + (0.5 - low) / (high - low) * (levels[crossing + 1] - levels[crossing])
    return Threshold(dtype, length, half, whole)
