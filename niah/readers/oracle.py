"""Only the sentences with the needles, in the order of the text: the ceiling of reading without finding."""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.readers import Material, Reader
from niah.readers.retrieval.views import SEPARATOR
from niah.records import Context, Problem, View


@dataclass(frozen=True, kw_only=True)
class Oracle(Reader):
    """Needles are planted as sentences, lines or paragraphs of their own, so they are the sentences that hold them."""

    name: str = "oracle"

    reads_all = False

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        return min(num_tokens, 2 * num_needle_tokens + 16)

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        """Raises NiahError for a task whose evidence is the whole text."""
        if problem.text is not None:
            raise NiahError(
                "reader=oracle: this task plants nothing, its answer is spread over the whole text; "
                "expected a task with needles; take reader=full for its ceiling"
            )
        ordered = sorted(range(len(context.needles)), key=lambda number: context.needles[number])
        pieces: list[np.ndarray | str] = []
        places = {}
        for number in ordered:
            if pieces:
                pieces.append(SEPARATOR)
            places[number] = len(pieces)
            pieces.append(context.pieces[context.needles[number]])
        return View(
            tuple(pieces) or ("",), (True,) * len(ordered), tuple(places[number] for number in range(len(ordered)))
        )
