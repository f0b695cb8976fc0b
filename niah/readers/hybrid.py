"""BM25 and vectors together, by the places they give a chunk."""

from dataclasses import dataclass

import numpy as np

from niah.limits import free_text, limited
from niah.readers import Material
from niah.readers.bm25 import bm25_index
from niah.readers.dense import dense_index
from niah.readers.retrieval.base import Retriever
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.embedders import EMBEDDED, load
from niah.readers.retrieval.ranking import Ask, Ranking, ranked


@dataclass(frozen=True, kw_only=True)
class Hybrid(Retriever):
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): the sum of 1 / (``k`` + rank), ranks from 1.

    A chunk that a ranking leaves out (BM25: no word in common) gets nothing from it. BM25 is bm25s' default (lucene).
    """

    name: str = "hybrid"
    model: str = free_text(EMBEDDED)
    device: str = "cpu"
    language: str = "auto"
    k: int = limited(60, at_least=0)

    def identity(self) -> str:
        return f"{load(self.model, self.device).label} {super().identity()}".strip()

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        asks = (
            bm25_index("lucene", 1.5, 0.75, self.language, collection, cutter, material),
            dense_index(self.model, self.device, collection, cutter, material),
        )
        return lambda question: fused([ask(question) for ask in asks], len(collection), self.k)


def fused(rankings: list[Ranking], num_chunks: int, k: int) -> Ranking:
    scores = np.zeros(num_chunks)
    for ranking in rankings:
        scores[ranking.order] += 1 / (k + 1 + np.arange(len(ranking.order)))
    return ranked(scores, least=0.0)
