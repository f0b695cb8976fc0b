"""Documents that are the same text, or nearly: shingles of words (Broder 1997, "On the resemblance and containment of
documents", section 2), all of them up to a few million, else a fixed share of them (there, section 4, mod m)."""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import regex

_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]|[^\W_]+")
_WIDTH = 5
"""Words of a shingle; a character of Chinese or Japanese counts as one."""
_MOST = 5_000_000
"""Shingles that are held; of more, each time half are left out, in all documents the same."""
_FEW = 20
"""Shingles below which a document that stands within another is a phrase, no duplicate."""
_MANY = 32
"""Documents of one shingle up to which all pairs are counted; of more those that follow each other."""
NEAR, WITHIN = 0.8, 0.95
"""Shares from which two documents are called nearly the same, and one part of the other."""


@dataclass(frozen=True)
class Duplicate:
    """Two documents by name; ``share`` is that of the shingles of both that they share, 1 for equal texts. ``is_part``:
    it is the share of the first one's that stands in the second."""

    first: str
    second: str
    share: float
    is_part: bool = False

    def __str__(self) -> str:
        if self.share == 1 and not self.is_part:
            return f"{self.first} and {self.second} hold the same text"
        if self.is_part:
            return f"{self.first} stands within {self.second} ({self.share:.0%} of it)"
        return f"{self.first} and {self.second} are nearly the same ({self.share:.0%} of both together)"


class Shingles:
    """Collects documents one by one, their texts are not kept."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._forms: dict[tuple[int, int, int], int] = {}
        self._equal: list[tuple[int, int]] = []
        self._held: list[np.ndarray] = []
        self._mask = 0
        self._num = 0

    def add(self, name: str, text: str) -> None:
        """White space and letter case make no difference."""
        number = len(self._names)
        self._names.append(name)
        words = _WORD.findall(text.casefold())
        joined = (" ".join(words) or text).encode()
        first = self._forms.setdefault((len(words), zlib.crc32(joined), zlib.adler32(joined)), number)
        if first != number:
            self._equal.append((first, number))
            self._held.append(np.empty(0, np.uint32))  # what is like it is like the first too
            return
        starts = range(max(1, len(words) - _WIDTH + 1))
        made = {zlib.crc32("\n".join(words[at : at + _WIDTH]).encode()) for at in starts}
        held = self._sampled(np.fromiter(made, np.uint32, len(made)))
        self._held.append(held)
        self._num += len(held)
        while self._num > _MOST:
            self._mask = 2 * self._mask + 1
            self._held = [self._sampled(one) for one in self._held]
            self._num = sum(map(len, self._held))

    def _sampled(self, hashes: np.ndarray) -> np.ndarray:
        found: np.ndarray = hashes[hashes & np.uint32(self._mask) == 0]
        return found

    def duplicates(self) -> list[Duplicate]:
        """Equal documents first, then by how much is shared."""
        equal = [Duplicate(self._names[one], self._names[other], 1.0) for one, other in self._equal]
        near: list[Duplicate] = []
        for (one, other), num in Counter(self._pairs()).items():
            sizes = len(self._held[one]), len(self._held[other])
            share = num / (sum(sizes) - num)
            small, large = (one, other) if sizes[0] <= sizes[1] else (other, one)
            within = num / min(sizes)
            if share >= NEAR:
                near.append(Duplicate(self._names[one], self._names[other], min(share, 0.999)))
            elif within >= WITHIN and min(sizes) >= _FEW:
                near.append(Duplicate(self._names[small], self._names[large], within, is_part=True))
        return equal + sorted(near, key=lambda pair: (-pair.share, pair.first, pair.second))

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """A pair of documents for each shingle that both have."""
        if not self._num:
            return
        hashes = np.concatenate(self._held)
        owners = np.repeat(np.arange(len(self._held)), [len(one) for one in self._held])
        order = np.lexsort((owners, hashes))
        hashes, owners = hashes[order], owners[order]
        edges = np.flatnonzero(np.diff(hashes)) + 1
        for group in np.split(owners, edges):
            if 1 < len(group) <= _MANY:
                found = group.tolist()
                yield from ((one, other) for at, one in enumerate(found) for other in found[at + 1 :])
            elif len(group) > _MANY:
                yield from pairwise(group.tolist())


def collected(documents: Iterable[tuple[str, str]], shingles: Shingles) -> Iterator[tuple[str, str]]:
    """The documents, each taken note of as it passes."""
    for name, text in documents:
        shingles.add(name, text)
        yield name, text
