"""From which length on a retrieving reader is the better choice, with an interval that counts repeats."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.stats import clusters
from niah.stats.compared import Answers, Difference
from niah.stats.effective import MIN_BOOTSTRAP, leading


@dataclass(frozen=True)
class Crossing:
    """The first of ``lengths`` from which the condition holds up to the last one; None: not within the ladder.

    ``condition`` is better (the difference is above 0) or not worse (it is above -margin). ``low`` and ``high`` are the interval's
    ends, likewise; ``method`` says where they come from.
    """

    condition: str
    lengths: tuple[int, ...]
    length: int | None
    low: int | None
    high: int | None
    method: str


def crossings(
    full: Answers, other: Answers, differences: Sequence[Difference], margin: float, confidence: float
) -> list[Crossing]:
    """Better, then not worse by ``margin``. Both sides paired and in the same order; ``differences`` are those by length.

    Interval: cluster bootstrap (repeats drawn with replacement) from 10 repeats on. Below, it is known to be far too narrow
    (docs/statistics.md), so the interval holds every length that the lengths' own intervals do not rule out.
    """
    lengths, place = np.unique(full.length, return_inverse=True)
    repeats, cluster = np.unique(full.repeat, return_inverse=True)
    shape = (len(lengths), len(repeats))
    sums, sizes = (
        np.bincount(place * shape[1] + cluster, weights, shape[0] * shape[1]).reshape(shape).astype(float)
        for weights in (other.score - full.score, None)
    )
    low, high = (np.array([getattr(d, name) for d in differences]) for name in ("low", "high"))
    found = []
    for condition, limit in (("better", 1e-9), ("not worse", -margin + 1e-9)):  # better: above 0; not worse: margin or more is lost nowhere
        at = _from(sums.sum(-1) / sizes.sum(-1) >= limit)
        if len(repeats) >= MIN_BOOTSTRAP:
            ends, method = _bootstrap(sums, sizes, limit, confidence), f"cluster bootstrap of {len(repeats)} repeats"
        else:
            ends, method = (_from(high >= limit), _from(low >= limit)), f"the lengths' own, as {len(repeats)} repeats are too few for the cluster bootstrap"
        at, first, last = (int(lengths[one]) if one < len(lengths) else None for one in (int(at), *map(int, ends)))
        found.append(Crossing(condition, tuple(lengths.tolist()), at, first, last, method))
    return found


def _from(passes: np.ndarray) -> np.ndarray:
    """Number of the first length (last axis) from which all pass; the number of lengths where the last one does not."""
    return passes.shape[-1] - leading(passes[..., ::-1])


def _bootstrap(sums: np.ndarray, sizes: np.ndarray, limit: float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    counts = clusters.resamples(sums.shape[-1], 2000).T.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (sums @ counts) / (sizes @ counts)
    tail = (1 - confidence) / 2
    return tuple(np.quantile(_from((drawn >= limit).T), [tail, 1 - tail], method="inverted_cdf"))
