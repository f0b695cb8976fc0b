"""Sources of filler text: one source, one file, one frozen dataclass of settings."""

from collections.abc import Iterable
from typing import Protocol


class Haystack(Protocol):
    """A source of text. ``name`` labels rows and figures; ``licence`` is kept in run.json."""

    name: str
    licence: str

    def documents(self) -> Iterable[str]:
        """The texts, in order. Raises NiahError where the source is missing or unreadable."""
        ...
