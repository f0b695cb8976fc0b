"""BM25 over words: the baseline of retrieval, exact and without a model."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from niah import origin
from niah.errors import NiahError
from niah.limits import limited, one_of
from niah.readers import Material
from niah.readers.retrieval.base import Retriever
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.postings import Entries, count, look_up, numbers_of
from niah.readers.retrieval.ranking import Ask, Ranking, ranked
from niah.readers.retrieval.words import words_of

METHODS = ("lucene", "robertson", "atire")


@dataclass(frozen=True, kw_only=True)
class BM25(Retriever):
    """Robertson & Zaragoza 2009; variants as in Kamphuis et al. 2020, computed by bm25s' own functions.

    bm25s scores all words of a collection when it is made. Here only how often a word stands in a chunk is kept:
    document frequencies and the mean length are those of the chunks of this very context, so the scores are what
    bm25s gives for them, to the last bit. ``language`` auto follows the haystack's.
    """

    name: str = "bm25"
    method: str = one_of(*METHODS)
    k1: float = limited(1.5, at_least=0)
    b: float = limited(0.75, at_least=0, at_most=1)
    language: str = "auto"

    def missing(self) -> Sequence[str]:
        return [*missing(), *super().missing()]

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        return bm25_index(self.method, self.k1, self.b, self.language, collection, cutter, material)


def bm25_index(
    method: str, k1: float, b: float, language: str, collection: Collection, cutter: Cutter, material: Material
) -> Ask:
    """Postings of all chunks, and the function that scores a question with them."""
    scoring = _library()
    idf_of, share_of = scoring._select_idf_scorer(method), scoring._select_tfc_scorer(method)
    words = words_of(material.language if language == "auto" else language)
    parts = [
        (material.blocks.made(known.block, cutter, words.label, lambda texts: count(texts, words)), known.numbers)
        for known in collection.known
    ]
    parts.append((count(collection.texts, words), collection.fresh))
    lengths = np.zeros(len(collection), dtype=np.int64)
    for postings, numbers in parts:
        lengths[numbers[numbers >= 0]] = postings["lengths"][numbers >= 0]
    if not lengths.any():
        raise NiahError(
            "reader=bm25: the context holds no words that could be searched for; expected text; "
            "take reader=dense or another haystack"
        )
    mean = lengths.mean()

    def ask(question: str) -> Ranking:
        asked = words.of(question)
        if not asked:
            raise NiahError(f"reader=bm25: no word to search for in the question {question[:60]!r}; take reader=dense")
        wanted, places = np.unique(numbers_of(asked), return_inverse=True)
        found = [_in_collection(look_up(postings, wanted), numbers) for postings, numbers in parts]
        which, chunks, counts = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(which, kind="stable")
        which, chunks, counts = which[order], chunks[order], counts[order].astype(np.float32)
        edges = np.searchsorted(which, np.arange(len(wanted) + 1))
        scores = np.zeros(len(collection), dtype=np.float32)
        for place in places:  # each time a word is asked for counts, in the order of the question
            begin, end = edges[place], edges[place + 1]
            if begin == end:
                continue
            idf = np.float32(idf_of(int(end - begin), N=len(collection)))
            share = share_of(
                tf_array=counts[begin:end], l_d=lengths[chunks[begin:end]], l_avg=mean, k1=k1, b=b, delta=0.5
            )
            scores[chunks[begin:end]] += (idf * share).astype(np.float32)
        return ranked(scores, least=0.0)

    return ask


def _in_collection(entries: Entries, numbers: np.ndarray) -> Entries:
    """Those whose chunk is in the collection, by its number there."""
    which, chunks, counts = entries
    chunks = numbers[chunks]
    inside = chunks >= 0
    return which[inside], chunks[inside], counts[inside]


def missing() -> Sequence[str]:
    """The package as a word for pip, where it is not installed."""
    return () if origin.installed("bm25s") else ("niah[rag]",)


def _library() -> Any:
    """bm25s' formulas, without numba: bm25s loads it where it is there, and vLLM on a CPU does not start after that
    (it looks at an attribute of every module, and one of numba's answers to any name)."""
    modules: dict[str, Any] = sys.modules
    is_hidden = "numba" not in modules
    if is_hidden:
        modules["numba"] = None  # an import of it fails
    try:
        from bm25s import scoring
    except ImportError as error:
        raise NiahError("reader=bm25: package bm25s is not installed; pip install 'niah[rag]'") from error
    finally:
        if is_hidden:
            del modules["numba"]
    return scoring
