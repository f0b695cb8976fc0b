"""RULER's repeated sentences (Hsieh et al. 2024, arXiv:2404.06654, haystack type "noise")."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Noise:
    """One paragraph again and again; needs no file. Its repeats are its definition, not a shortfall."""

    name: str = "noise"
    licence: str = "none needed"
    sentences: str = (
        "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
    )
    num_paragraphs: int = 4000

    def documents(self) -> Iterator[str]:
        for _ in range(self.num_paragraphs):
            yield self.sentences
