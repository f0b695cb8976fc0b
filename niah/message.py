"""The user's message of a chat, for a server that takes text and applies the chat template itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Message:
    """``before``, the view's ``pieces`` (ids or text) and ``after``, in reading order.

    ``system`` and ``template_arguments`` are what the chat template was given beside it.
    """

    before: str
    pieces: tuple[np.ndarray | str, ...]
    after: str
    system: str | None
    template_arguments: dict[str, Any]

    def text(self, decode: Callable[[np.ndarray], str]) -> str:
        """``decode`` is the tokenizer's."""
        inside = (piece if isinstance(piece, str) else decode(piece) for piece in self.pieces)
        return "".join((self.before, *inside, self.after))
