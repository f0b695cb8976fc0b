"""RULER's repeated sentences (Hsieh et al. 2024, arXiv:2404.06654, haystack type "noise")."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

from niah.errors import NiahError
from niah.haystacks import Skip, Source

SENTENCES = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."


@dataclass(frozen=True, kw_only=True)
class Noise(Source):
    """One line of sentences again and again, as often as asked for; needs no file.

    Its repeats are its definition, not a shortfall; rows record them all the same.
    """

    name: str = "noise"
    licence: str = "none needed"
    separator: str = "\n"
    sentences: str = SENTENCES

    endless = True
    by_line = True
    repetitive = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sentences.strip():
            raise NiahError("haystack.sentences: got none; expected at least one sentence")

    def documents(self, skip: Skip) -> Iterator[str]:
        return repeat(self.sentences)
