"""Where the characters of a context's text stand in its tokens, for what cuts text and knows no tokens."""

from functools import cached_property

import numpy as np

from niah.errors import NiahError
from niah.tokens import boundaries
from niah.tokens.tokenizer import Tokenizer

_WINDOW = 2048
"""Tokens that are tokenised again at a time."""
_SMALL = 48
"""The same where they are not those of the text."""


class Characters:
    """``ids`` int32 (tokens,): those of a context. Nothing is computed before it is asked for."""

    def __init__(self, tokenizer: Tokenizer, ids: np.ndarray):
        self._tokenizer, self._ids = tokenizer, ids

    @cached_property
    def text(self) -> str:
        return self._tokenizer.decode(self._ids)

    def tokens(self, start: int, stop: int) -> tuple[int, int]:
        """The tokens [first, last) that hold the characters [``start``, ``stop``)."""
        starts, stops = self._places
        first, last = int(np.searchsorted(stops, start, side="right")), int(np.searchsorted(starts, stop))
        return first, max(first, last)

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """The characters [start, stop) that the tokens [``first``, ``last``) hold."""
        starts, stops = self._places
        return int(starts[first]), int(stops[last - 1])

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each token the first character and the one behind its last, int64 (tokens,) each.

        Tokenised again in windows, since a context is too long for one go, and in small ones where the tokenizer gives
        other ids for the same text; there the texts of ever more tokens are measured at last. Raises NiahError where a
        window is no part of the text.
        """
        places = np.empty((2, len(self._ids)), np.int64)
        begin = at = 0
        while begin < len(self._ids):
            end = self._whole(begin + _WINDOW)
            place, part = self._found(begin, end, at)
            if not self._tokenised(begin, end, place, part, places):
                near = place
                while begin < end:
                    middle = min(end, self._whole(begin + _SMALL))
                    near, small = self._found(begin, middle, near)
                    if not self._tokenised(begin, middle, near, small, places):
                        ends = range(begin, middle + 1)
                        lengths = [len(self._tokenizer.decode(self._ids[begin:one])) for one in ends]
                        sizes = near + np.maximum.accumulate(np.minimum(lengths, len(small)))
                        places[:, begin:middle] = sizes[:-1], sizes[1:]
                    begin, near = middle, near + len(small)
            begin, at = end, place + len(part)
        return places[0], np.maximum.accumulate(places[1])

    def _whole(self, end: int) -> int:
        """The next place at or behind ``end`` that cuts no character in two."""
        while end < len(self._ids) and not boundaries.is_whole(self._tokenizer, self._ids, end):
            end += 1
        return min(end, len(self._ids))

    def _found(self, begin: int, end: int, at: int) -> tuple[int, str]:
        """Where the text of these tokens stands, behind character ``at``, and that text."""
        part = self._tokenizer.decode(self._ids[begin:end])
        place = self.text.find(part, at, at + len(part) + 2)  # some tokenizers drop the first space of a text
        if place < 0:
            raise NiahError(
                "model.tokenizer: it decodes a part of a text to other characters than the whole, so that no place "
                "in it can be found; take readers that cut tokens (bm25, dense without reader.chunker)"
            )
        return place, part

    def _tokenised(self, begin: int, end: int, place: int, part: str, places: np.ndarray) -> bool:
        """Whether the tokenizer gives the same ids for the text; then their ``places`` are filled in."""
        encoding = self._tokenizer.encode(part)
        if not np.array_equal(encoding.ids, self._ids[begin:end]):
            return False
        places[:, begin:end] = encoding.starts + place, encoding.stops + place
        return True
