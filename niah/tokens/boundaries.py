"""Where a text may be cut: the sentence end, line or paragraph nearest to a token, found on the spot.

A list of all sentence ends of a 10M-token source takes longer than tokenising it, and a context needs
a handful: so the few tokens around a wanted place are decoded and looked at.
"""

import unicodedata

import numpy as np
import regex

from niah.tokens.splice import AGREE, num_same
from niah.tokens.tokenizer import Encoding, Tokenizer
from niah.tokens.turns import NEXT

_REACHES = {"sentence": (96, 384), "line": (96, 384), "paragraph": (384, 3072), "word": (24, 384)}
"""Tokens looked at on either side, at first and when nothing was found (384: about 1,500 characters)."""
_PARAGRAPH_REACH = 512
_PARAGRAPH_WINDOWS = 64
_SHIFTS = 12

# A sentence has ended after a terminal mark and what closes it, if white space, the end or (in
# scripts written without spaces) anything follows; or where a line ends. No run of one kind of
# character is looked at twice: there are lines of 100,000 dots, and files of as many line breaks.
SENTENCE_END = regex.compile(
    r"""(?:(?<![.!?…])[.!?…]++["'\p{Pe}\p{Pf}]*+(?=\s++[^\p{Ll}\s]|\s*+\Z)
        |(?:(?![.!?])\p{Sentence_Terminal})++["'\p{Pe}\p{Pf}]*+
        |(?<=\S)(?=\s*\n)
        |(?<=\n)(?=\S))""",
    regex.VERBOSE,
)
_LINE_START = regex.compile(r"(?<=\n)(?=[^\n])")
_SPACE = regex.compile(r"(?<=\S)(?=\s)")
_ANYWHERE = regex.compile(r"(?=.)", regex.DOTALL)
_PARAGRAPH = regex.compile(r"(?<=\n\s*\n)(?=\S)")
EXCHANGE = regex.compile(rf"(?<={NEXT})(?=\S)")
"""Where a turn of the user's begins."""
UNITS = {"sentence": SENTENCE_END, "line": _LINE_START, "paragraph": _PARAGRAPH, "word": _SPACE}
"""What a needle may stand between."""


def is_open(character: str) -> bool:
    """White space, or of a script without spaces between sentences: CJK ideographs, kana, their marks."""
    return character.isspace() or unicodedata.east_asian_width(character) in "WF"


def nearest(tokenizer: Tokenizer, ids: np.ndarray, wanted: float, stop: int, unit: str = "sentence") -> int:
    """The place nearest to token ``wanted`` in [0, ``stop``] where a ``unit`` (UNITS) begins; 0 counts as one.

    Text without one for some 1,500 characters (code, Thai) is cut at white space, or where it has none
    either between any two characters.
    """
    wanted = max(0.0, min(float(wanted), stop))
    last = _REACHES[unit][-1]
    for pattern, reach in (*((UNITS[unit], reach) for reach in _REACHES[unit]), (_SPACE, last), (_ANYWHERE, last)):
        first = max(0, int(wanted) - reach)
        found = _matches(tokenizer, ids, first, min(len(ids), int(wanted) + reach), pattern)
        found = found[(found <= stop) & (np.abs(found - wanted) <= reach)]
        if wanted <= _REACHES[unit][0]:
            found = np.append(found, 0)
        if len(found):
            return int(found[np.argmin(np.abs(found - wanted))])
    return 0


def next_paragraph(
    tokenizer: Tokenizer, ids: np.ndarray, position: int, unit: str = "sentence", pattern: regex.Pattern | None = None
) -> int:
    """The first token of a paragraph at or after ``position``, or of what ``pattern`` ends before; without one within
    reach, that of a ``unit``."""
    for number in range(_PARAGRAPH_WINDOWS):
        first = position + number * _PARAGRAPH_REACH
        if first >= len(ids):
            return 0
        last = min(len(ids), first + _PARAGRAPH_REACH + 16)  # windows overlap: a break may lie on an edge
        found = _matches(tokenizer, ids, first, last, pattern or _PARAGRAPH)
        if len(found):
            return int(found[0])
    return nearest(tokenizer, ids, position, len(ids) - 1, unit)


def last_sentence(tokenizer: Tokenizer, ids: np.ndarray, start: int, stop: int) -> int | None:
    """The last token in (``start``, ``stop``] at which a sentence begins, or None."""
    for reach in sorted({min(96, stop - start), stop - start}):
        found = _matches(tokenizer, ids, stop - reach, min(len(ids), stop + 16), SENTENCE_END)
        found = found[(found > start) & (found <= stop)]
        if len(found):
            return int(found[-1])
    return None


def is_whole(tokenizer: Tokenizer, ids: np.ndarray, stop: int) -> bool:
    """Whether no character is cut in two at ``stop``."""
    return stop == 0 or not tokenizer.decode(ids[max(0, stop - 6) : stop]).endswith("\ufffd")


def _matches(tokenizer: Tokenizer, ids: np.ndarray, first: int, last: int, pattern: regex.Pattern) -> np.ndarray:
    """Ascending token positions in [first, last) where a match of ``pattern`` ends at a token's beginning."""
    first, text, encoding, usable = _window(tokenizer, ids, first, last)
    ends = np.fromiter((match.end() for match in pattern.finditer(text)), dtype=np.int64)
    if last < len(ids):
        ends = ends[ends < len(text) - 1]  # what ends with the window may go on behind it
    tokens = _aligned(encoding, ends)
    return np.unique(tokens[tokens < usable]) + first


def _window(tokenizer: Tokenizer, ids: np.ndarray, first: int, last: int) -> tuple[int, str, Encoding, int]:
    """Ids [first, last) as text and encoded again, begun a little earlier where a token was cut in two.

    Returns the beginning, the text, its encoding and how many of its ids are those of ``ids``.
    """
    found = []
    for shift in range(_SHIFTS):
        begin = max(0, first - shift)
        text = tokenizer.decode(ids[begin:last])
        encoding = tokenizer.encode(text)
        usable = num_same(encoding.ids, ids[begin:last])
        found.append((begin, text, encoding, usable))
        if usable >= last - begin - AGREE or begin == 0:
            break
    return max(found, key=lambda window: window[3])


def _aligned(encoding: Encoding, characters: np.ndarray) -> np.ndarray:
    """The tokens that begin exactly at these characters; a character inside a token has none."""
    tokens = np.searchsorted(encoding.starts, characters)
    inside = tokens < len(encoding.ids)
    tokens, characters = tokens[inside], characters[inside]
    before = np.maximum(tokens - 1, 0)
    exact = (encoding.starts[tokens] == characters) & ((tokens == 0) | (encoding.stops[before] <= characters))
    aligned: np.ndarray = tokens[exact]
    return aligned
