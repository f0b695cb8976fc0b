"""Sources of filler text: one source, one file, one frozen dataclass of settings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from niah.errors import NiahError

Skip = Callable[[str], None]
"""Called with one line about a document that was left out, and why."""


class Haystack(Protocol):
    """A source of text. ``name`` labels rows and figures; ``licence`` is kept in run.json.

    ``language`` is what needles follow; ``endless`` sources make as much text as is asked for;
    ``by_line`` ones take needles as lines of their own; ``repetitive`` ones are one document again and again.
    """

    name: str
    licence: str
    language: str
    order: str
    separator: str
    repeat: str
    endless: bool
    by_line: bool
    repetitive: bool

    def identity(self) -> str:
        """Changes whenever ``documents`` would give other texts; cheap, reads no text."""
        ...

    def documents(self, skip: Skip) -> Iterator[str]:
        """The texts, in order. Raises NiahError where the source is missing or unreadable."""
        ...

    def planted(self, needle: str) -> str:
        """The needle as it stands in such a text: a comment in code, a field in a log."""
        ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """What all sources share. ``order`` is coherent or shuffled (sentences, within blocks of text).

    ``separator`` stands between documents. ``repeat`` says what happens where unique text runs out:
    allow (the text goes round, and rows record the share) or forbid (refused before anything runs).
    """

    name: str
    licence: str
    language: str = "en"
    order: str = "coherent"
    separator: str = "\n\n"
    repeat: str = "allow"

    endless = False
    by_line = False
    repetitive = False

    def __post_init__(self) -> None:
        for key, value, choices in (
            ("order", self.order, ("coherent", "shuffled")), ("repeat", self.repeat, ("allow", "forbid")),
        ):
            if value not in choices:
                raise NiahError(f"haystack.{key}: got {value!r}; expected {' or '.join(choices)}")

    def identity(self) -> str:
        return repr(self)

    def planted(self, needle: str) -> str:
        return needle
