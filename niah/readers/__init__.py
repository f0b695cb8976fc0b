"""Which part of a context the model gets to see: one rule, one file, one frozen dataclass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from niah.errors import NiahError
from niah.limits import check
from niah.readers.retrieval.blocks import Blocks
from niah.readers.retrieval.characters import Characters
from niah.readers.retrieval.settings import EmbeddingSettings, RetrievalSettings
from niah.records import Context, Problem, Row, Stretch, View
from niah.tokens.splice import Spliced
from niah.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Material:
    """What a reader may use besides the context itself, all of it made already on the way to the prompt.

    ``whole`` is the prompt with the full context, whose pieces begin at place ``first`` of it. ``blocks`` is the
    tokenised source, of no tokens for a task that writes its own text.
    """

    tokenizer: Tokenizer
    language: str
    context: Context
    stretch: Stretch
    whole: Spliced
    first: int
    blocks: Blocks

    @property
    def origin(self) -> int:
        return self.whole.spans[self.first][0]

    @cached_property
    def ids(self) -> np.ndarray:
        """The context, int32 (tokens,)."""
        return self.whole.ids[self.origin : self.whole.spans[self.first + len(self.context.pieces) - 1][1]]

    @cached_property
    def characters(self) -> Characters:
        """The context as text, and which of ``ids`` hold which of its characters."""
        return Characters(self.tokenizer, self.ids)

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


@dataclass(frozen=True, kw_only=True)
class Reader:
    """The base of all readers. To add one, subclass it as a frozen dataclass, in any module that Python can import.

    Give ``name`` a default and write ``read``; one that shows less than the context says how much in ``max_tokens``
    and sets ``reads_all`` to False. Then a file ``reader/mine.yaml`` in a conf folder, with
    ``_target_: my_module.Mine`` and ``name: mine``, makes it ``reader=mine``. One that searches the context subclasses
    ``Retriever`` instead, of readers/retrieval/base.py, and writes ``index``.

    Every field is a setting (``reader.top_k=3``) and stands in run.json; niah/limits.py says how a field's limits, or
    that it is free text, stand on its own line. What holds for the reader whatever its settings is a class attribute
    without annotation (``reads_all = False``), so that it is no setting; the ones there are stand below.

    ``name`` labels rows and figures.
    """

    name: str

    reads_all: ClassVar[bool] = True
    """Whether it may send the whole context, which then has to fit the model; else ``max_tokens`` has to."""

    may_read_twice: ClassVar[bool] = False
    """Whether ``then`` may ask for a second prompt; rows say then which one was answered, rag or long."""

    def __post_init__(self) -> None:
        """Checks the settings; a subclass that checks more of its own calls this first."""
        check(self, "reader")

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        """The part of the context that the model gets to see, in at most ``max_tokens`` tokens."""
        raise NiahError(
            f"reader={self.name}: {type(self).__name__} has no method read; expected read(context, problem, material)"
        )

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        """The most tokens it shows of a context of ``num_tokens``, ``num_needle_tokens`` of them needles."""
        return num_tokens

    @property
    def size_key(self) -> str:
        """The setting that makes it show less, as messages name it."""
        return ""

    def identity(self) -> str:
        """Names the models that it asks, with what their versions can be known by, for run.json; empty without any."""
        return ""

    def recalled(self, row: Row) -> "Reader":
        """The reader that shows again what this one showed in the trial of a stored row. Itself, for one that asks
        nobody; one that asked a server takes it from the row."""
        return self

    def missing(self) -> Sequence[str]:
        """Packages that it reads with and that are not installed, as words for pip install --no-deps; an extra as
        niah[rag] is installed with what it needs."""
        return ()

    def then(self, response: str, question: str = "") -> "Reader | None":
        """The reader that makes a second prompt of the trial after this response to the first, or None."""
        return None

    @classmethod
    def own(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a command's settings that concern it, before they are checked.

        A sweep gives all its readers one budget and one size of chunks: one that has no such settings leaves them out.
        """
        names = {field.name for field in fields(cls)}
        return {name: value for name, value in settings.items() if name in names or name not in _SWEPT}


_SWEPT = {
    *(field.name for field in fields(RetrievalSettings)),
    *({field.name for field in fields(EmbeddingSettings)} - {"model", "device"}),
}
