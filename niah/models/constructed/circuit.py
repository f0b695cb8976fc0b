"""What a constructed model computes, in exact arithmetic: hashes of n-grams in integers, one attention in float64.

The model's other layers are sharp to far below any rounding, so this is what it answers wherever an engine is right.
"""

from dataclasses import dataclass

import numpy as np

from niah.models.constructed import codes
from niah.models.constructed.design import CODE, Design, position_scores

_BLOCK = 1 << 20  # keys scored at a time
_TAIL = 32  # more tokens than an n-gram and its shift reach back


@dataclass(frozen=True)
class Circuit:
    """A design over a vocabulary. ``ends`` are ids after which it stops, with ``stop``."""

    design: Design
    vocabulary: int
    ends: frozenset[int]
    stop: int

    def hashes(self, ids: np.ndarray, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """int8 (tokens, CODE) each: of the n-gram that ends at a token, and of the one that ends before it.

        ``start`` is the position of the first id. A head that may not look as far back takes another token: the n-grams
        that reach over a chunk's border differ from the same tokens elsewhere.
        """
        design = self.design
        hashed = codes.token_codes(self.vocabulary, design.seed)[ids]
        place = np.arange(len(ids))
        earliest = np.zeros(len(ids), dtype=np.int64)
        if design.chunk:
            earliest = np.maximum(0, (place + start) // design.chunk * design.chunk - start)
        for step, order in zip(design.steps, codes.orders(design), strict=True):
            hashed = hashed * hashed[_seen(place, earliest, step)][:, order]
        return hashed, hashed[_seen(place, earliest, 1)]

    def scores(self, query: np.ndarray, keys: np.ndarray, position: int) -> np.ndarray:
        """float64 (keys,) in nats, for a query at ``position``."""
        design = self.design
        bits = design.bits
        signs = (keys[:, :bits] @ query[:bits].astype(np.float32)).astype(np.float64)
        tuned = 1.0 + 0.1 * np.log(np.floor((position + 1) / 8192) + 1.0) if design.interval else 1.0
        return design.nats / bits * signs * tuned

    def next_token(self, ids: np.ndarray, keys: np.ndarray) -> int:
        """The most likely next token. ``keys`` are the second hashes of all ids."""
        design = self.design
        if int(ids[-1]) in self.ends:
            return self.stop
        first = max(0, len(ids) - design.window) if design.window else 0
        shares = self.shares(ids, keys, first)
        table = codes.output_codes(self.vocabulary, design.seed)
        held = np.bincount(ids[first:], weights=shares, minlength=self.vocabulary)
        copied = table.T @ held.astype(np.float32)
        return int(np.argmax(table @ copied))

    def shares(self, ids: np.ndarray, keys: np.ndarray, first: int = 0) -> np.ndarray:
        """What the copying head gives to each token from ``first`` on, float64, summing to 1."""
        start = max(0, len(ids) - _TAIL)
        query = self.hashes(ids[start:], start)[0][-1]
        parts = [
            self.scores(query, keys[place : place + _BLOCK].astype(np.float32), len(ids) - 1)
            for place in range(first, len(ids), _BLOCK)
        ]
        scores = np.concatenate(parts)
        unscaled = np.exp(scores - scores.max())
        shares: np.ndarray = unscaled / unscaled.sum()
        return shares

    def answer(self, ids: np.ndarray, max_tokens: int) -> list[int]:
        """Greedy answer, with the stop token where there is one."""
        length = len(ids)
        ids = np.concatenate([np.asarray(ids, dtype=np.int64), np.zeros(max_tokens, dtype=np.int64)])
        keys = np.zeros((len(ids), CODE), dtype=np.int8)
        keys[:length] = self.hashes(ids[:length])[1]
        answer: list[int] = []
        for stop in range(length, len(ids)):
            ids[stop] = self.next_token(ids[:stop], keys[:stop])
            answer.append(int(ids[stop]))
            if ids[stop] == self.stop:
                break
            start = max(0, stop + 1 - _TAIL)
            keys[stop] = self.hashes(ids[start : stop + 1], start)[1][-1]
        return answer


def _seen(place: np.ndarray, earliest: np.ndarray, step: int) -> np.ndarray:
    """Which token a head sees that looks ``step`` back: where that one is out of reach, the one whose score is next."""
    nearest = [int(np.argmax(position_scores(np.arange(reach + 1.0), step))) for reach in range(step)]
    back = np.array([*nearest, step])[np.minimum(place - earliest, step)]
    seen: np.ndarray = place - back
    return seen
