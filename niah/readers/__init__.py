"""Which part of a context the model gets to see: one rule, one file, one frozen dataclass."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from niah.readers.retrieval.blocks import Blocks
from niah.records import Context, Problem, Stretch, View
from niah.tokens.splice import Spliced
from niah.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Material:
    """What a reader may use besides the context itself, all of it made already on the way to the prompt.

    ``whole`` is the prompt with the full context, whose pieces begin at place ``first`` of it. ``blocks`` is the
    tokenised source, None for a task that writes its own text.
    """

    tokenizer: Tokenizer
    language: str
    context: Context
    stretch: Stretch
    whole: Spliced
    first: int
    blocks: Blocks | None

    @property
    def origin(self) -> int:
        return self.whole.spans[self.first][0]

    @cached_property
    def ids(self) -> np.ndarray:
        """The context, int32 (tokens,)."""
        return self.whole.ids[self.origin : self.whole.spans[self.first + len(self.context.pieces) - 1][1]]

    @cached_property
    def needles(self) -> tuple[tuple[int, int], ...]:
        """(start, stop) of each needle in ``ids``."""
        spans = (self.whole.spans[self.first + place] for place in self.context.needles)
        return tuple((start - self.origin, stop - self.origin) for start, stop in spans)

    @cached_property
    def known(self) -> tuple[tuple[int, int, int], ...]:
        """Which of ``ids`` are the source's own: (start in the source, stop in the source, start in ``ids``)."""
        found, offset = [], 0
        for place, piece in enumerate(self.context.pieces):
            if isinstance(piece, str):
                continue
            if kept := self.whole.kept[self.first + place]:
                start, stop, at = kept[0] + offset, kept[1] + offset, kept[2] - self.origin
                for first, last, begun in self.stretch.segments:
                    low, high = max(start, begun), min(stop, begun + last - first)
                    if low < high:
                        found.append((first + low - begun, first + high - begun, at + low - start))
            offset += len(piece)
        return tuple(found)


class Reader(Protocol):
    """``name`` labels rows and figures. ``reads_all``: it may send the whole context, so that has to fit the model.

    A reader that may read a second time has a method ``then`` (see readers/route.py).
    """

    name: str
    reads_all: bool

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        """The most tokens it shows of a context of ``num_tokens``, needles included."""
        ...

    def read(self, context: Context, problem: Problem, material: Material) -> View: ...
