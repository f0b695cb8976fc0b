"""A cross-encoder reads question and chunk together and orders the first chunks of a ranking anew."""

from functools import cache
from typing import Any

import numpy as np

from niah.errors import NiahError, first_line
from niah.readers import Material
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.embedders import check, folder_of, own_code, silence
from niah.readers.retrieval.ranking import Ranking


def reranked(
    model: str, num: int, chunk_tokens: int, ranking: Ranking, question: str, collection: Collection, material: Material
) -> Ranking:
    """The first ``num`` chunks by the cross-encoder's score; the others are left out (Nogueira & Cho 2019)."""
    encoder = _load(model)
    limit = encoder.max_length
    if limit and limit < chunk_tokens:
        raise NiahError(
            f"reader.chunk_tokens: got {chunk_tokens}; expected fewer than {limit}, all that reader.rerank={model} "
            "reads of a question and a chunk; take smaller chunks or another model"
        )
    order = ranking.order[:num]
    if not len(order):
        return ranking
    texts = [material.tokenizer.decode(material.ids[collection.starts[n] : collection.stops[n]]) for n in order]
    pairs = [(question, text) for text in texts]
    scores = np.asarray(encoder.predict(pairs, show_progress_bar=False), dtype=np.float64)
    best = np.lexsort((order, -scores))
    return Ranking(order[best], scores[best])


@cache
def _load(model: str) -> Any:
    """sentence-transformers' CrossEncoder."""
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise NiahError(
            "reader.rerank: package sentence-transformers is not installed; pip install 'niah[embed]'"
        ) from error
    folder = folder_of(model, "reader.rerank")
    silence()
    check(folder, "reader.rerank")
    try:
        return CrossEncoder(str(folder), device="cpu", num_labels=1, trust_remote_code=False)
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise own_code(folder, "reader.rerank", "auto_map") from error
        raise NiahError(
            f"reader.rerank: {model} is no cross-encoder ({first_line(error)}); expected its name or folder"
        ) from error
