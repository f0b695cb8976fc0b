"""How often each word stands in each chunk: a matrix by columns, one for a block or for a few new chunks."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np

from niah.readers.retrieval.blocks import Arrays
from niah.readers.retrieval.words import Words


@lru_cache(maxsize=2**20)
def _number_of(word: str) -> int:
    """64 bits of a hash: two words of a million share one with a chance of 1 in 30 million."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def numbers_of(words: Sequence[str]) -> np.ndarray:
    """uint64 (words,)"""
    return np.fromiter(map(_number_of, words), dtype=np.uint64, count=len(words))


def count(texts: Sequence[str], words: Words) -> Arrays:
    """``words`` uint64 (words,) ascending; of word w the chunks ``chunks[first[w] : first[w + 1]]``, int32 ascending,
    and ``counts`` int32 beside them; ``lengths`` int32 (chunks,) in words."""
    found = [words.of(text) for text in texts]
    lengths = np.fromiter(map(len, found), dtype=np.int32, count=len(found))
    vocabulary, places = np.unique(numbers_of(list(chain.from_iterable(found))), return_inverse=True)
    chunk_of = np.repeat(np.arange(len(found), dtype=np.int64), lengths)
    cells, counts = np.unique(places * max(1, len(found)) + chunk_of, return_counts=True)
    word_of, chunks = np.divmod(cells, max(1, len(found)))
    first = np.searchsorted(word_of, np.arange(len(vocabulary) + 1))
    return {
        "words": vocabulary, "first": first.astype(np.int64), "chunks": chunks.astype(np.int32),
        "counts": counts.astype(np.int32), "lengths": lengths,
    }


Entries = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Which word, in which chunk, how often: three arrays side by side."""


def look_up(postings: Arrays, wanted: np.ndarray) -> Entries:
    """For words ``wanted`` (uint64, ascending): which of them, which chunk, how often; one entry for each pair."""
    vocabulary, first = postings["words"], postings["first"]
    places = np.searchsorted(vocabulary, wanted)
    inside = np.flatnonzero(places < len(vocabulary))
    inside = inside[vocabulary[places[inside]] == wanted[inside]]
    begin, end = first[places[inside]], first[places[inside] + 1]
    which = np.repeat(inside, end - begin)
    spans = list(zip(begin.tolist(), end.tolist(), strict=True))
    empty = np.empty(0, dtype=np.int32)
    return (
        which, np.concatenate([empty, *(postings["chunks"][a:b] for a, b in spans)]),
        np.concatenate([empty, *(postings["counts"][a:b] for a, b in spans)]),
    )
