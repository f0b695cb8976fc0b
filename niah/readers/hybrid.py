"""BM25 and vectors together, by the places they give a chunk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.limits import limited
from niah.readers import Material, bm25
from niah.readers.bm25 import bm25_index
from niah.readers.dense import dense_index
from niah.readers.retrieval import embedders
from niah.readers.retrieval.base import Retriever
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.ranking import Ask, Ranking, ranked
from niah.readers.retrieval.served import label
from niah.readers.retrieval.settings import EmbeddingSettings


@dataclass(frozen=True, kw_only=True)
class Hybrid(EmbeddingSettings, Retriever):
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): the sum of 1 / (``k`` + rank), ranks from 1.

    A chunk that a ranking leaves out (BM25: no word in common) gets nothing from it. BM25 is bm25s' default (lucene).
    """

    name: str = "hybrid"
    language: str = "auto"
    k: int = limited(60, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_server()

    @property
    def asks_a_server(self) -> bool:
        return self.url is not None or super().asks_a_server

    def identity(self) -> str:
        return f"{label(self)} {super().identity()}".strip()

    def missing(self) -> Sequence[str]:
        return [*bm25.missing(), *embedders.missing(self.model, self.url), *super().missing()]

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        return hybrid_index(self, self.language, self.k, collection, cutter, material)


def hybrid_index(
    settings: EmbeddingSettings, language: str, k: int, collection: Collection, cutter: Cutter, material: Material
) -> Ask:
    """Both indexes of all chunks, and the function that asks them."""
    asks = (
        bm25_index("lucene", 1.5, 0.75, language, collection, cutter, material),
        dense_index(settings, collection, cutter, material),
    )
    return lambda question: fused([ask(question) for ask in asks], len(collection), k)


def fused(rankings: list[Ranking], num_chunks: int, k: int) -> Ranking:
    scores = np.zeros(num_chunks)
    for ranking in rankings:
        scores[ranking.order] += 1 / (k + 1 + np.arange(len(ranking.order)))
    return ranked(scores, least=0.0)
