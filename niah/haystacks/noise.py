"""RULER's repeated sentences (Hsieh et al. 2024, arXiv:2404.06654, haystack type "noise")."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

from niah.errors import NiahError
from niah.haystacks import Haystack, Skip
from niah.limits import NEW, free_text, one_of

SENTENCES = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."


@dataclass(frozen=True, kw_only=True)
class Noise(Haystack):
    """One line of sentences again and again, as often as asked for; needs no file.

    Its repeats are its definition, not a shortfall; rows record them all the same. ``version`` package: a space follows
    each separator, as in the variable tracking of RULER's package (tasks/ruler.py).
    """

    name: str = "noise"
    licence: str = free_text("none needed")
    separator: str = free_text("\n")
    sentences: str = free_text(SENTENCES)
    version: str = one_of("head", "package", known_as=NEW)

    endless = True
    by_line = True
    repetitive = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sentences.strip():
            raise NiahError("haystack.sentences: got none; expected at least one sentence")

    @property
    def joint(self) -> str:
        return f"{self.separator} " if self.version == "package" else self.separator

    def documents(self, skip: Skip) -> Iterator[str]:
        return repeat(self.sentences)
