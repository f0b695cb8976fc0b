"""What all retrieving readers share: cutting, choosing by number or budget, order, and what is recorded."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from niah.errors import NiahError
from niah.readers import Material, Reader
from niah.readers.retrieval import chunker, embedders, served
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection, all_fresh, collect
from niah.readers.retrieval.cross_encoder import reranked
from niah.readers.retrieval.ranking import Ask, Ranking
from niah.readers.retrieval.settings import SEPARATOR_TOKENS, RetrievalSettings
from niah.readers.retrieval.views import fate, merged, view
from niah.records import Context, Problem, Retrieval, Row, View


@dataclass(frozen=True, kw_only=True)
class Retriever(RetrievalSettings, Reader):
    """The base of all readers that show the chunks of a context which answer the question best.

    A subclass writes ``index``, which prepares a context's chunks for questions; all else is shared.
    """

    reads_all = False
    reserved_tokens: ClassVar[int] = 0
    """Of the context's room, for what the reader itself says (``View.instruction``)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_together()

    @property
    def size_key(self) -> str:
        return "budget" if self.budget else "top_k"

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        """Prepares the chunks of one context for questions. ``material.blocks`` keeps what is made of a source."""
        raise NiahError(
            f"reader={self.name}: {type(self).__name__} has no method index; expected index(collection, cutter, "
            "material)"
        )

    def identity(self) -> str:
        if self.rerank_url is not None:
            return f"rerank {self.rerank or 'its only model'} at {self.rerank_url}"
        if not self.rerank:
            return ""
        return f"rerank {embedders.identity(embedders.folder_of(self.rerank, 'reader.rerank'))}"

    @property
    def asks_a_server(self) -> bool:
        """Whether what it shows hangs on a server, which another day may be gone or answer otherwise."""
        return self.rerank_url is not None

    def recalled(self, row: Row) -> Reader:
        if not self.asks_a_server:
            return self
        return Recalled(name=self.name, reader=self, chunks=tuple(map(tuple, row.retrieved)))

    def missing(self) -> Sequence[str]:
        return embedders.missing(self.rerank, self.rerank_url)

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        shown = self.top_k * (1 + 2 * self.neighbours)
        return min(num_tokens, self.budget or shown * (self.chunk_tokens + SEPARATOR_TOKENS))

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        """Raises NiahError where the text or the question holds nothing to search for, ServiceError where a server that
        it needs gives nothing."""
        begun = time.perf_counter()
        cutter = self._cutter(material)
        collection = self._collection(material, cutter)
        ask = self.index(collection, cutter, material)
        indexed = time.perf_counter()
        ranking = self._reranked(ask(problem.question), problem.question, collection, material)
        return self._view(collection, ranking, material, indexed - begun, indexed)

    def read_again(self, chunks: Sequence[Sequence[float]], material: Material) -> View:
        """The view of these chunks, (start, stop, score), best first: those of a row. Raises NiahError where the
        context has no such chunks."""
        collection = self._collection(material, self._cutter(material))
        places = zip(collection.starts.tolist(), collection.stops.tolist(), strict=True)
        numbers = {place: number for number, place in enumerate(places)}
        if missing := [chunk for chunk in chunks if (chunk[0], chunk[1]) not in numbers]:
            start, stop, _ = missing[0]
            raise NiahError(
                f"reader={self.name}: the context is not cut at tokens {start:,} to {stop:,}, as it was; expected the "
                "chunks of the row: is reader.chunker another class now?"
            )
        order = np.array([numbers[chunk[0], chunk[1]] for chunk in chunks], dtype=np.int64)
        ranking = Ranking(order, np.array([score for *_, score in chunks], dtype=np.float64))
        return self._view(collection, ranking, material, 0.0, time.perf_counter())

    def _cutter(self, material: Material) -> Cutter:
        return Cutter(material.tokenizer, self.chunk_tokens, self.overlap_tokens, self.split == "sentence")

    def _collection(self, material: Material, cutter: Cutter) -> Collection:
        if self.chunker is None:
            return collect(material, cutter)
        return all_fresh(material, chunker.cut(self.chunker, material.characters, self.chunk_tokens))

    def _reranked(self, ranking: Ranking, question: str, collection: Collection, material: Material) -> Ranking:
        if self.rerank_url is not None:
            return served.reranked(self, ranking, question, collection, material)
        if self.rerank:
            return reranked(self.rerank, self.rerank_top, self.chunk_tokens, ranking, question, collection, material)
        return ranking

    def _view(
        self, collection: Collection, ranking: Ranking, material: Material, index_seconds: float, begun: float
    ) -> View:
        """What is shown of a ranking; ``begun`` is when the index was there, by the clock."""
        num = self._num_chosen(collection, ranking.order, len(material.ids) - self.reserved_tokens)
        ranges = self._ranges(collection, ranking.order[:num])
        chunks = self._chunks(collection, ranking, num)
        retrieval = Retrieval(
            chunks=chunks,
            needles=tuple(fate(needle, ranges) for needle in material.needles),
            index_seconds=index_seconds,
            seconds=time.perf_counter() - begun,
            ids=tuple(material.ids[start:stop] for start, stop, _ in chunks),
        )
        return view(material, ranges, retrieval)

    def _num_chosen(self, collection: Collection, order: np.ndarray, room: int) -> int:
        """How many of the best chunks are shown: never more tokens than the context has."""
        most = min(self.budget or room, room)

        def cost(num: int) -> int:
            ranges = self._ranges(collection, order[:num])
            return sum(stop - start for start, stop in ranges) + SEPARATOR_TOKENS * max(0, len(ranges) - 1)

        low, high = 0, min(len(order), most if self.budget else self.top_k)  # no chunk has less than a token
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if cost(middle) <= most else (low, middle - 1)
        return low

    def _ranges(self, collection: Collection, chosen: np.ndarray) -> list[tuple[int, int]]:
        """Token ranges that are shown, in the order in which they are."""
        if not len(chosen):
            return []
        beside = min(self.neighbours, len(collection))
        low, high = np.maximum(chosen - beside, 0), np.minimum(chosen + beside, len(collection) - 1) + 1
        places = np.stack([collection.starts, collection.stops], axis=1)
        if self.order == "document":
            edges = np.zeros(len(collection) + 1, dtype=np.int64)
            np.add.at(edges, low, 1)
            np.add.at(edges, high, -1)
            found = merged(places[np.flatnonzero(np.cumsum(edges)[:-1])])
        elif self.neighbours:  # those of a chunker of one's own may overlap, hold each other or leave out text
            found = np.concatenate([merged(places[a:b]) for a, b in zip(low, high, strict=True)])
        else:
            found = places[chosen]
        return [(int(start), int(stop)) for start, stop in found]

    def _chunks(self, collection: Collection, ranking: Ranking, num: int) -> tuple[tuple[int, int, float], ...]:
        return tuple(
            (int(collection.starts[n]), int(collection.stops[n]), round(float(score), 6))
            for n, score in zip(ranking.order[:num], ranking.scores[:num], strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Recalled(Reader):
    """Shows the chunks that ``reader`` showed once, without asking anybody."""

    reader: Retriever
    chunks: tuple[tuple[float, ...], ...]

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        return self.reader.read_again(self.chunks, material)
