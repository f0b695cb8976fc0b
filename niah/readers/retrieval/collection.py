"""The chunks of one context: those its source was cut into, and new ones where needles stand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from niah.readers import Material
from niah.readers.retrieval.blocks import BLOCK
from niah.readers.retrieval.chunks import Cutter

_SPREAD = 3
"""Chunks behind a needle that are cut anew with it: its tokens are shared out among them."""


@dataclass(frozen=True)
class Known:
    """Chunks of a block of the source. ``numbers`` int32 (chunks of the block,): the number of each in the
    collection, or -1 for one that is not in it."""

    block: int
    numbers: np.ndarray


@dataclass(frozen=True)
class Collection:
    """``starts`` and ``stops`` int64 (chunks,), in tokens of the context, in reading order.

    ``fresh`` are the numbers of the chunks that are no block's, int32, ``texts`` what they hold.
    """

    starts: np.ndarray
    stops: np.ndarray
    known: tuple[Known, ...]
    fresh: np.ndarray
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.starts)


def collect(material: Material, cutter: Cutter) -> Collection:
    """Cuts a context. A block's chunk is used where the context has exactly its tokens.

    Between such chunks (at needles, where the source goes round, at both ends) the context is cut anew: the first
    new chunk as far as a full one reaches, so a needle may be split as any other sentence.
    """
    ids = material.ids
    ranges: list[np.ndarray] = []  # int64 (chunks, 2)
    runs: list[tuple[int, int, int, int]] = []  # block, its first chunk, the one after its last, number of the first
    fresh: list[np.ndarray] = []
    num, done = 0, 0

    def cut(stop: int) -> None:
        nonlocal num
        start = cutter.begin(ids, done, int(ranges[-1][-1, 0]) + cutter.size // 8) if num else 0
        reach = cutter.border(ids, stop, stop + cutter.overlap) if cutter.overlap else stop
        found = cutter.cut(ids, start, reach, even=True) if done < stop else []
        if found:
            ranges.append(np.array(found, dtype=np.int64))
            fresh.append(np.arange(num, num + len(found), dtype=np.int32))
            num += len(found)

    for first, last, at in material.known:
        parts = [(*part, at - first) for part in _whole_chunks(material, cutter, first, last)]
        to_drop = _SPREAD if parts and parts[0][2][0] + at - first > done else 0
        for block, low, starts, stops, shift in parts:
            drop = min(to_drop, len(starts))
            to_drop -= drop
            if drop == len(starts):
                continue
            if int(starts[drop]) + shift > done:
                cut(int(starts[drop]) + shift)
            ranges.append(np.stack([starts[drop:], stops[drop:]], axis=1) + shift)
            runs.append((block, low + drop, low + len(starts), num))
            num += len(starts) - drop
            done = int(stops[-1]) + shift
    cut(len(ids))
    joined = np.concatenate(ranges) if ranges else np.empty((0, 2), dtype=np.int64)
    numbers = np.concatenate(fresh) if fresh else np.empty(0, dtype=np.int32)
    texts = tuple(material.tokenizer.decode(ids[joined[n, 0] : joined[n, 1]]) for n in numbers)
    return Collection(joined[:, 0], joined[:, 1], _by_block(material, cutter, runs), numbers, texts)


def all_fresh(material: Material, ranges: Sequence[tuple[int, int]]) -> Collection:
    """The collection of these ranges, none of them a block's: those of a chunker of the user's own."""
    found = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    texts = tuple(material.tokenizer.decode(material.ids[start:stop]) for start, stop in ranges)
    return Collection(found[:, 0], found[:, 1], (), np.arange(len(found), dtype=np.int32), texts)


def _whole_chunks(
    material: Material, cutter: Cutter, start: int, stop: int
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Of each block, the chunks that lie in [``start``, ``stop``) of the source: block, first, starts, stops."""
    for block in range(start // BLOCK, (stop - 1) // BLOCK + 1):
        starts, stops = material.blocks.chunks(block, cutter)
        low, high = int(np.searchsorted(starts, start)), int(np.searchsorted(stops, stop, side="right"))
        if low < high:
            yield block, low, starts[low:high], stops[low:high]


def _by_block(material: Material, cutter: Cutter, runs: Sequence[tuple[int, int, int, int]]) -> tuple[Known, ...]:
    """Runs of one block together; a block that the context has twice comes twice."""
    maps: dict[int, list[np.ndarray]] = {}
    for block, low, high, number in runs:
        rounds = maps.setdefault(block, [])
        free = next((taken for taken in rounds if (taken[low:high] < 0).all()), None)
        if free is None:
            free = np.full(len(material.blocks.chunks(block, cutter)[0]), -1, dtype=np.int32)
            rounds.append(free)
        free[low:high] = np.arange(number, number + high - low)
    return tuple(Known(block, numbers) for block, rounds in maps.items() for numbers in rounds)
