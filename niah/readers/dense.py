"""Nearness of meaning: chunks whose vectors point where the question's does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.readers import Material
from niah.readers.retrieval import embedders
from niah.readers.retrieval.base import Retriever
from niah.readers.retrieval.blocks import Arrays
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.ranking import Ask, Ranking, ranked
from niah.readers.retrieval.served import embedder, label
from niah.readers.retrieval.settings import EmbeddingSettings


@dataclass(frozen=True, kw_only=True)
class Dense(EmbeddingSettings, Retriever):
    """Cosine of the vectors of question and chunk (Karpukhin et al. 2020, with a model of your choice).

    ``search`` is flat: the question is compared with every chunk. Earlier versions had hnsw too; the setting stays, so
    that their folders are the same runs, and have the same names, as now.
    """

    name: str = "dense"
    search: str = "flat"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_server()
        if self.search != "flat":
            raise NiahError(
                f"reader.search: got {self.search!r}; expected flat, which compares every chunk, 41,000 of them in "
                "0.03 s (hnsw is gone); leave it out, or read such a run with the niah that wrote it (see its run.json)"
            )

    @property
    def asks_a_server(self) -> bool:
        return self.url is not None or super().asks_a_server

    def identity(self) -> str:
        return f"{label(self)} {super().identity()}".strip()

    def missing(self) -> Sequence[str]:
        return [*embedders.missing(self.model, self.url), *super().missing()]

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        return dense_index(self, collection, cutter, material)


def dense_index(settings: EmbeddingSettings, collection: Collection, cutter: Cutter, material: Material) -> Ask:
    """Vectors of all chunks, and the function that compares a question with them."""
    model = embedder(settings)
    if model.max_tokens is not None and model.max_tokens < cutter.size:
        raise NiahError(
            f"reader.chunk_tokens: got {cutter.size}; expected at most {model.max_tokens}, all that "
            f"reader.model={settings.model} reads of a chunk; take smaller chunks or another model"
        )

    def embedded(texts: list[str]) -> Arrays:
        return {"vectors": model.chunks(texts)}

    made = {
        known.block: material.blocks.made(known.block, cutter, model.label, embedded)["vectors"]
        for known in collection.known
    }
    fresh = model.chunks(collection.texts)

    def ask(question: str) -> Ranking:
        asked = model.question(question)
        scores = np.zeros(len(collection), dtype=np.float32)
        for known in collection.known:
            inside = known.numbers >= 0
            scores[known.numbers[inside]] = (made[known.block] @ asked)[inside]
        scores[collection.fresh] = fresh @ asked
        return ranked(scores)

    return ask
