"""The settings that every retrieving reader has: how a context is cut, how much of it is shown, in which order."""

from dataclasses import dataclass

from niah.errors import NiahError
from niah.limits import free_text, limited, one_of


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings:
    """``chunk_tokens`` and ``overlap_tokens`` of a chunk and of two that follow each other; ``split`` is sentence (a
    chunk ends with one) or fixed.

    ``top_k`` chunks are shown, or, where ``budget`` is not 0, as many as have room in that many tokens, separators
    included. ``order`` is document or rank; ``neighbours`` shows that many chunks on either side of each, too.
    ``rerank`` names a cross-encoder (a sentence-transformers model or its folder) that orders the first ``rerank_top``
    anew.
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

    def check_together(self) -> None:
        """Raises NiahError for settings that do not go together."""
        if self.overlap_tokens > self.chunk_tokens // 2:
            raise NiahError(
                f"reader.overlap_tokens: got {self.overlap_tokens}; expected at most {self.chunk_tokens // 2}, "
                "half of reader.chunk_tokens"
            )
        least = self.chunk_tokens * (1 + 2 * self.neighbours)
        if 0 < self.budget < least:
            raise NiahError(
                f"reader.budget: smaller than a chunk{' with its neighbours' if self.neighbours else ''}; "
                f"got {self.budget}; expected at least {least}; take smaller reader.chunk_tokens"
            )
