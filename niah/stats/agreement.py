"""How often two engines gave the same answer, and how their failures fall together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.stats import clusters

BOTH_RIGHT, BOTH_FAIL = "both right", "both fail"
FIRST_FAILS, SECOND_FAILS = "only the first fails", "only the second fails"
VERDICTS = (BOTH_RIGHT, BOTH_FAIL, FIRST_FAILS, SECOND_FAILS)


@dataclass(frozen=True)
class Agreement:
    """``same`` answers of ``n``; ``low`` to ``high`` is Wilson's interval of their share, trials of a repeat counting
    what they are worth. ``verdicts`` counts each way two answers can fall together."""

    n: int
    same: int
    low: float
    high: float
    verdicts: dict[str, int]


def verdict(first: float, second: float) -> str:
    """From two scores; a score below 1 is a failure."""
    if first >= 1:
        return BOTH_RIGHT if second >= 1 else SECOND_FAILS
    return FIRST_FAILS if second >= 1 else BOTH_FAIL


def agreement(repeats: Sequence[int], same: Sequence[bool], verdicts: Sequence[str], confidence: float) -> Agreement:
    """Of answers to the same prompts; all three sequences are one value a row."""
    low = high = float("nan")
    if repeats:
        values = np.asarray(same, dtype=float)
        found, labels = np.unique(repeats, return_inverse=True)
        sums, sizes = clusters.clustered(labels, values, len(found))
        low, high = (float(bound) for bound in clusters.wilson(sums, sizes, (values**2).sum(), confidence))
    counts = Counter(verdicts)
    return Agreement(len(repeats), sum(same), low, high, {name: counts[name] for name in VERDICTS})
