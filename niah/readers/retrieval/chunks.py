"""Where a text is cut into chunks: token ranges of at most so many tokens, fixed or ending with a sentence."""

import math
from dataclasses import dataclass

import numpy as np

from niah.tokens import boundaries
from niah.tokens.tokenizer import Tokenizer

Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Cutter:
    """``size`` and ``overlap`` in tokens. ``by_sentence`` moves each border back to where a sentence begins.

    A border never cuts a character in two.
    """

    tokenizer: Tokenizer
    size: int
    overlap: int = 0
    by_sentence: bool = False

    @property
    def label(self) -> str:
        return f"{self.tokenizer.sha256} {self.size} {self.overlap} {self.by_sentence}"

    def cut(self, ids: np.ndarray, start: int, stop: int, *, even: bool = False) -> Ranges:
        """Chunks that cover [``start``, ``stop``), each at most ``size`` tokens, in order.

        ``even``: the first one is full, what follows is shared out evenly instead of ending in a scrap.
        """
        chunks: Ranges = []
        while stop - start > self.size:
            length = self.size
            if even and chunks:
                rest = stop - start - self.overlap
                length = math.ceil(rest / math.ceil(rest / (self.size - self.overlap))) + self.overlap
            border = self.border(ids, start + self.overlap + length // 4, start + length)
            chunks.append((start, border))
            start = self.begin(ids, border, start + self.size // 8)
        if start < stop and (not chunks or stop > chunks[-1][1]):
            chunks.append((start, stop))
        return chunks

    def begin(self, ids: np.ndarray, border: int, least: int) -> int:
        """Where the chunk after one that ends at ``border`` begins."""
        return self.border(ids, least, border - self.overlap) if self.overlap else border

    def border(self, ids: np.ndarray, least: int, wanted: int) -> int:
        """The place for a border in (``least``, ``wanted``], as late as possible; ``wanted`` where there is none."""
        if wanted <= max(least, 0) or wanted >= len(ids):
            return max(0, min(wanted, len(ids)))
        if self.by_sentence and (found := boundaries.last_sentence(self.tokenizer, ids, max(least, 0), wanted)):
            return found
        for place in range(wanted, max(least, wanted - 8, 0), -1):
            if boundaries.is_whole(self.tokenizer, ids, place):
                return place
        return wanted
