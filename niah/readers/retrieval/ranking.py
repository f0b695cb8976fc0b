"""Chunks in the order of their scores: what an index answers to a question."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """``order``: numbers of chunks, int64 (chunks,), best first; ``scores``, float (chunks,), belong to them."""

    order: np.ndarray
    scores: np.ndarray


Ask = Callable[[str], Ranking]
"""Gives the ranking of a collection's chunks for a question."""


def ranked(scores: np.ndarray, *, least: float = -np.inf) -> Ranking:
    """All chunks with more than ``least``, by score; equal ones in the order of the text."""
    hits = np.flatnonzero(scores > least)
    order = hits[np.argsort(-scores[hits], kind="stable")]
    return Ranking(order, scores[order])
