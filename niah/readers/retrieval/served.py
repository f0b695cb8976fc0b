"""Models that a server runs: embeddings as OpenAI has them, a reranker as vLLM, Jina and Cohere have it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from niah.environment import keys
from niah.errors import ServiceError
from niah.readers import Material
from niah.readers.retrieval import embedders
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.embedders import EMBEDDED, Embedder
from niah.readers.retrieval.http import Http, is_number
from niah.readers.retrieval.ranking import Ranking
from niah.readers.retrieval.settings import EmbeddingSettings, RetrievalSettings

_PROBE = "The lamp was lit at seven."
_MOST_NAMES = 8
_LARGEST = 1e15
"""No vector has a number as large; squares of larger ones leave what 32 bits hold."""


def embedder(settings: EmbeddingSettings) -> Embedder:
    """The model of the settings, a server's where they have a ``url``. Raises NiahError where it cannot be had."""
    if settings.url is None:
        return embedders.load(settings.model, settings.device)
    return _served(
        settings.url, settings.model, settings.api_key_env, settings.batch, settings.query_prefix,
        settings.chunk_prefix, settings.timeout_seconds, settings.max_retries,
    )


def label(settings: EmbeddingSettings) -> str:
    """What names the model in run.json; a server is not asked."""
    if settings.url is None:
        return embedders.load(settings.model, settings.device).label
    name = "its only model" if settings.model == EMBEDDED else settings.model
    return f"{name} at {settings.url}"


@cache
def _served(
    url: str, model: str, key_name: str | None, batch: int, query_prefix: str, chunk_prefix: str,
    timeout_seconds: float, max_retries: int,
) -> "ServedEmbedder":
    key = keys.read(key_name, "reader.api_key_env")
    http = Http(url, "reader.url", key, timeout_seconds, max_retries)
    return ServedEmbedder(http, model, batch, query_prefix, chunk_prefix)


class ServedEmbedder:
    """An ``Embedder`` on a server. Texts longer than its model reads are for the server to refuse."""

    max_tokens: int | None = None

    def __init__(self, http: Http, model: str, batch: int, query_prefix: str, chunk_prefix: str):
        self._http, self._batch = http, batch
        self._query_prefix, self._chunk_prefix = query_prefix, chunk_prefix
        self._model = _only_model(http, "reader.model") if model == EMBEDDED else model
        self._num_dimensions = 0
        self._num_dimensions = self._vectors([_PROBE]).shape[1]
        self.label = f"server {http.url} {self._model} {self._num_dimensions} {chunk_prefix!r}"

    def chunks(self, texts: Sequence[str]) -> np.ndarray:
        parts = [np.empty((0, self._num_dimensions), dtype=np.float32)]
        for start in range(0, len(texts), self._batch):
            parts.append(self._vectors([self._chunk_prefix + text for text in texts[start : start + self._batch]]))
        return np.concatenate(parts)

    def question(self, text: str) -> np.ndarray:
        return np.asarray(self._vectors([self._query_prefix + text])[0])

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """float32 (texts, dimensions), of length 1. Raises ServiceError for what are no vectors of these texts."""
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        found = _ordered(self._http, self._http.post("embeddings", body).get("data"), len(texts), "embedding")
        try:
            vectors = np.array(found, dtype=np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise self._http.unusable("gives embeddings that are no lists of as many numbers each") from error
        if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
            raise self._http.unusable("gives embeddings that are no lists of finite numbers")
        if (largest := float(np.abs(vectors).max())) >= _LARGEST:
            raise self._http.unusable(
                f"gives embeddings with a number as large as {largest:.3g}; expected less than {_LARGEST:g}"
            )
        if self._num_dimensions and vectors.shape[1] != self._num_dimensions:
            raise self._http.unusable(
                f"gives embeddings of {vectors.shape[1]:,} dimensions; expected {self._num_dimensions:,}, as before; "
                "is it another model now?"
            )
        return embedders.of_length_one(vectors.astype(np.float32))


def reranked(
    settings: RetrievalSettings, ranking: Ranking, question: str, collection: Collection, material: Material
) -> Ranking:
    """The first ``rerank_top`` chunks by the score that the server at ``rerank_url`` gives them; the others are left
    out. Raises ServiceError where it gives none."""
    order = ranking.order[: settings.rerank_top]
    if not len(order):
        return ranking
    assert settings.rerank_url is not None
    texts = [material.tokenizer.decode(material.ids[collection.starts[n] : collection.stops[n]]) for n in order]
    scores = _reranker(
        settings.rerank_url, settings.rerank, settings.rerank_key_env, settings.timeout_seconds, settings.max_retries
    ).scores(question, texts)
    best = np.lexsort((order, -scores))
    return Ranking(order[best], scores[best])


@cache
def _reranker(
    url: str, model: str | None, key_name: str | None, timeout_seconds: float, max_retries: int
) -> "Reranker":
    key = keys.read(key_name, "reader.rerank_key_env")
    return Reranker(Http(url, "reader.rerank_url", key, timeout_seconds, max_retries), model)


class Reranker:
    """A model on a server that reads question and text together."""

    def __init__(self, http: Http, model: str | None):
        self._http = http
        self._model = model or _only_model(http, "reader.rerank")

    def scores(self, question: str, texts: Sequence[str]) -> np.ndarray:
        """float64 (texts,)"""
        body = {"model": self._model, "query": question, "documents": list(texts), "top_n": len(texts)}
        found = _ordered(self._http, self._http.post("rerank", body).get("results"), len(texts), "relevance_score")
        if not all(is_number(score) for score in found):
            raise self._http.unusable("gives relevance scores that are no finite numbers")
        return np.array(found, dtype=np.float64)


def _only_model(http: Http, setting: str) -> str:
    """The one model that the server names. Raises ServiceError where there are others, or none."""
    listed = http.get("models").get("data")
    names = [str(one.get("id")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if len(names) != 1:
        named = ", ".join(names[:_MOST_NAMES])[:400] or "none"
        raise ServiceError(f"{setting}: {http.url} names these models: {named}; expected one; name it in {setting}")
    return names[0]


def _ordered(http: Http, listed: Any, num: int, key: str) -> list[Any]:
    """``key`` of each of ``num`` results, in the order of what was sent: each says its ``index``. Raises ServiceError
    for any other list."""
    if not isinstance(listed, list) or len(listed) != num or not all(isinstance(one, dict) for one in listed):
        got = f"a list of {len(listed)}" if isinstance(listed, list) else type(listed).__name__
        raise http.unusable(f"gives {got} for {num} texts; expected an object with index and {key} for each")
    indexed = [(one.get("index", number), one.get(key)) for number, one in enumerate(listed)]
    placed = {index: value for index, value in indexed if type(index) is int and value is not None}
    if placed.keys() != {*range(num)}:
        raise http.unusable(f"gives results without index or {key}, or two of one text; expected one for each")
    return [placed[number] for number in range(num)]
