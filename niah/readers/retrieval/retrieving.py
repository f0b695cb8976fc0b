"""What all retrieving readers share: cutting, choosing by number or budget, order, and what is recorded."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from niah.errors import NiahError
from niah.readers import Material
from niah.readers.retrieval import embedders
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection, collect
from niah.readers.retrieval.views import fate, merged, view
from niah.records import Context, Problem, Retrieval, View

_SEPARATOR_TOKENS = 4
"""The most tokens that a separator and the two seams beside it take."""


@dataclass(frozen=True)
class Ranking:
    """``order``: numbers of chunks, best first; ``scores`` float (chunks,) belong to them."""

    order: np.ndarray
    scores: np.ndarray


Ask = Callable[[str], Ranking]


def ranked(scores: np.ndarray, *, least: float = -np.inf) -> Ranking:
    """All chunks with more than ``least``, by score; equal ones in the order of the text."""
    hits = np.flatnonzero(scores > least)
    order = hits[np.argsort(-scores[hits], kind="stable")]
    return Ranking(order, scores[order])


@dataclass(frozen=True, kw_only=True)
class Retrieving:
    """A subclass gives ``index``: what answers questions about a collection.

    ``top_k`` chunks are shown, or, where ``budget`` is not 0, as many as have room in that many tokens, separators
    included. ``split`` is sentence or fixed; ``order`` document or rank; ``neighbours`` shows that many chunks on
    either side of each, too. ``rerank`` names a cross-encoder (a sentence-transformers model or its folder) that
    orders the first ``rerank_top`` anew.
    """

    name: str
    chunk_tokens: int = field(default=256, metadata={"unit": "tokens"})
    overlap_tokens: int = 0
    split: str = "sentence"
    top_k: int = 8
    budget: int = field(default=0, metadata={"unit": "tokens", "zero": True})
    order: str = "document"
    neighbours: int = 0
    rerank: str | None = None
    rerank_top: int = 50

    # without annotations: properties of the reader, not settings
    reads_all = False
    reserved_tokens = 0  # of the context's room, for what the reader itself says

    def __post_init__(self) -> None:
        for key, value, choices in (("split", self.split, ("sentence", "fixed")), ("order", self.order, ("document", "rank"))):
            if value not in choices:
                raise NiahError(f"reader.{key}: got {value!r}; expected {' or '.join(choices)}")
        for key, value, least in (
            ("chunk_tokens", self.chunk_tokens, 16), ("overlap_tokens", self.overlap_tokens, 0), ("top_k", self.top_k, 1),
            ("neighbours", self.neighbours, 0), ("rerank_top", self.rerank_top, 1), ("budget", self.budget, 0),
        ):
            if value < least:
                raise NiahError(f"reader.{key}: got {value}; expected at least {least}")
        if self.overlap_tokens > self.chunk_tokens // 2:
            raise NiahError(
                f"reader.overlap_tokens: got {self.overlap_tokens}; expected at most {self.chunk_tokens // 2}, "
                "half of reader.chunk_tokens"
            )
        if 0 < self.budget < self.chunk_tokens * (1 + 2 * self.neighbours):
            raise NiahError(
                f"reader.budget: smaller than a chunk{' with its neighbours' if self.neighbours else ''}; got {self.budget}; "
                f"expected at least {self.chunk_tokens * (1 + 2 * self.neighbours)}; take smaller reader.chunk_tokens"
            )

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        raise NotImplementedError

    def identity(self) -> str:
        """Names the models it asks, with what tells their versions apart; kept in run.json."""
        return f"rerank {embedders.identity(embedders.folder_of(self.rerank, 'reader.rerank'))}" if self.rerank else ""

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        shown = self.top_k * (1 + 2 * self.neighbours)
        return min(num_tokens, self.budget or shown * (self.chunk_tokens + _SEPARATOR_TOKENS))

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        """Raises NiahError where the text or the question holds nothing to search for."""
        begun = time.perf_counter()
        cutter = Cutter(material.tokenizer, self.chunk_tokens, self.overlap_tokens, self.split == "sentence")
        collection = collect(material, cutter)
        ask = self.index(collection, cutter, material)
        indexed = time.perf_counter()
        ranking = ask(problem.question)
        if self.rerank:
            from niah.readers.retrieval.rerank import reranked

            ranking = reranked(self.rerank, self.rerank_top, self.chunk_tokens, ranking, problem.question, collection, material)
        num = self._num_chosen(collection, ranking.order, len(material.ids) - self.reserved_tokens)
        ranges = self._ranges(collection, ranking.order[:num])
        retrieval = Retrieval(
            chunks=self._chunks(collection, ranking, num),
            needles=tuple(fate(needle, ranges) for needle in material.needles),
            index_seconds=indexed - begun,
            seconds=time.perf_counter() - indexed,
        )
        return view(material, ranges, retrieval)

    def _num_chosen(self, collection: Collection, order: np.ndarray, room: int) -> int:
        """How many of the best chunks are shown: never more tokens than the context has."""
        most = min(self.budget or room, room)

        def cost(num: int) -> int:
            ranges = self._ranges(collection, order[:num])
            return sum(stop - start for start, stop in ranges) + _SEPARATOR_TOKENS * max(0, len(ranges) - 1)

        low, high = 0, min(len(order), most if self.budget else self.top_k)  # no chunk has less than a token
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if cost(middle) <= most else (low, middle - 1)
        return low

    def _ranges(self, collection: Collection, chosen: np.ndarray) -> list[tuple[int, int]]:
        """Token ranges that are shown, in the order in which they are."""
        if not len(chosen):
            return []
        low = np.maximum(chosen - self.neighbours, 0)
        high = np.minimum(chosen + self.neighbours, len(collection) - 1)
        found = np.stack([collection.starts[low], collection.stops[high]], axis=1)
        return [(int(start), int(stop)) for start, stop in (merged(found) if self.order == "document" else found)]

    def _chunks(self, collection: Collection, ranking: Ranking, num: int) -> tuple[tuple[int, int, float], ...]:
        return tuple(
            (int(collection.starts[n]), int(collection.stops[n]), round(float(score), 6))
            for n, score in zip(ranking.order[:num], ranking.scores[:num], strict=True)
        )
