"""Joins texts and already tokenised stretches into the ids that the whole text would have.

A byte-pair tokenizer may merge or split across the place where two texts meet. So each seam is
tokenised again together with a window of its neighbours, and the result is taken only where it
meets the neighbours' own ids on both sides: no decoding and re-encoding of the whole.

In long runs of one character a seam may move every token up to the end of the run. So windows that do not do are made
larger, and where none does the two neighbours are tokenised again as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from niah.tokens.tokenizer import Encoding, Tokenizer

WINDOW = 48
"""Ids of a neighbour that are tokenised again with a seam."""
AGREE = 8
"""Ids at the outer edge of a window that must come out as they were."""
_SHIFTS = 12
"""How far an edge may move to leave a character or a word whole."""
_LARGE_SHIFTS = 2
"""The same for windows that are larger than is usual."""
_MOST_CHARACTERS = 400_000
"""Of a window: a longer text is tokenised in one go only where nothing else is left."""
_MOST_AS_TEXT = 2_000_000
"""Characters of neighbours that are tokenised again as text, where no window does."""


@dataclass(frozen=True)
class Control:
    """A control token in a prompt. Text on its two sides is tokenised apart."""

    id: int


Piece = str | np.ndarray | Control


@dataclass(frozen=True)
class Spliced:
    """``parts`` are the ids of the whole, int32, in runs: views of the arrays where they were kept.

    ``spans`` gives for each piece the tokens [start, stop) that hold it; a token that straddles two
    pieces belongs to both. ``kept`` says which ids of an array came out unchanged: (start in the
    array, stop in the array, start in the whole).
    """

    parts: tuple[np.ndarray, ...]
    spans: tuple[tuple[int, int], ...]
    kept: tuple[tuple[int, int, int] | None, ...]

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.parts))

    @cached_property
    def ids(self) -> np.ndarray:
        """The whole, int32 (tokens,): copied together once, when it is asked for."""
        return np.concatenate(self.parts, dtype=np.int32) if self.parts else np.empty(0, dtype=np.int32)


class SpliceError(Exception):
    """No window was found in which the tokenizer agrees with the ids it gave before."""


_Seam = tuple[Encoding, int, int, int]
Memo = dict[tuple, _Seam | None]
"""Seams by their windows, from one call of ``splice`` to the next; None for windows in which there is none."""


class _NoSeamError(SpliceError):
    """There is none before the array ``number``, the first of a run being 0."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


def splice(tokenizer: Tokenizer, pieces: Sequence[Piece], memo: Memo | None = None) -> Spliced:
    """The concatenated pieces. Raises SpliceError where a seam cannot be made canonical.

    ``memo`` keeps seams from one call to the next, for calls that differ in one place.
    """
    memo = {} if memo is None else memo
    out: list[np.ndarray] = []
    spans: list[tuple[int, int]] = []
    kept: list[tuple[int, int, int] | None] = []
    total = 0
    run: list[str | np.ndarray] = []
    for piece in [*pieces, None]:
        if isinstance(piece, str | np.ndarray):
            run.append(piece)
            continue
        if run:
            joined = _splice_run(tokenizer, run, memo)
            out.extend(joined.parts)
            spans.extend((start + total, stop + total) for start, stop in joined.spans)
            kept.extend(k and (k[0], k[1], k[2] + total) for k in joined.kept)
            total += joined.num_tokens
            run = []
        if piece is not None:
            out.append(np.array([piece.id], dtype=np.int32))
            spans.append((total, total + 1))
            kept.append(None)
            total += 1
    return Spliced(tuple(out), tuple(spans), tuple(kept))


def _splice_run(tokenizer: Tokenizer, pieces: list[str | np.ndarray], memo: Memo) -> Spliced:
    """Splices pieces with no control token between them."""
    while True:
        # Short id arrays become text; then texts and long arrays alternate, a text at either end.
        groups: list[list[tuple[int, str]]] = [[]]
        arrays: list[tuple[int, np.ndarray]] = []
        for place, piece in enumerate(pieces):
            if isinstance(piece, np.ndarray) and len(piece) >= 4 * WINDOW:
                arrays.append((place, piece))
                groups.append([])
            else:
                groups[-1].append((place, piece if isinstance(piece, str) else tokenizer.decode(piece)))
        try:
            return _spliced(tokenizer, len(pieces), groups, arrays, memo)
        except _NoSeamError as error:
            pieces = list(pieces)
            for place, array in arrays[max(0, error.number - 1) : error.number + 1]:
                pieces[place] = tokenizer.decode(array)
            if sum(len(piece) for piece in pieces if isinstance(piece, str)) > _MOST_AS_TEXT:
                raise


def _spliced(
    tokenizer: Tokenizer, num_pieces: int, groups: list[list[tuple[int, str]]], arrays: list[tuple[int, np.ndarray]],
    memo: Memo,
) -> Spliced:
    """Texts and arrays in turn, as one; each with its place among the pieces."""
    out: list[np.ndarray] = []
    spans: dict[int, tuple[int, int]] = {}
    kept: list[tuple[int, int, int] | None] = [None] * num_pieces
    total = 0
    begun, used, same = 0, 0, 0  # of the array to come: its first token, and what the seam before it holds
    for number, group in enumerate(groups):
        place, left = arrays[number - 1] if number else (-1, None)
        right = arrays[number][1] if number < len(arrays) else None
        text = "".join(part for _, part in group)
        free = None if left is None else left[used:]  # what the seam before it holds is taken
        if (found := _seam(tokenizer, free, text, right, memo)) is None:
            raise _NoSeamError(f"no canonical seam around {_shown(tokenizer, left, text, right)}", number)
        seam, num_left, num_right, first = found
        if left is not None:
            middle = left[used : len(left) - num_left]
            lead = num_same(seam.ids, left[len(left) - num_left :])
            kept[place] = (used - same, len(left) - num_left + lead, total - same)
            out.append(middle)
            total += len(middle)
            spans[place] = (begun, _cover(seam, 0, first, total)[1])
        cursor = first
        for inner, part in group:
            spans[inner] = _cover(seam, cursor, cursor + len(part), total)
            cursor += len(part)
        if right is not None:
            begun, used = _cover(seam, cursor, cursor, total)[0], num_right
            same = num_same(seam.ids[::-1], right[:num_right][::-1])
        out.append(seam.ids)
        total += len(seam.ids)
    ordered = tuple(spans[place] for place in range(num_pieces))
    return Spliced(tuple(out), ordered, tuple(kept))


def num_same(one: np.ndarray, other: np.ndarray) -> int:
    """How many leading ids agree."""
    length = min(len(one), len(other))
    differing = np.flatnonzero(one[:length] != other[:length])
    return int(differing[0]) if len(differing) else length


def _cover(seam: Encoding, start: int, stop: int, offset: int) -> tuple[int, int]:
    """Tokens that hold the characters [start, stop) of a seam's text."""
    first = int(np.searchsorted(seam.stops, start, side="right"))
    last = int(np.searchsorted(seam.starts, stop, side="left"))
    return first + offset, max(first, last) + offset


def _seam(
    tokenizer: Tokenizer, left: np.ndarray | None, text: str, right: np.ndarray | None, memo: Memo
) -> _Seam | None:
    """Tokenises ``text`` between its neighbours, in windows that grow until one does; None where none does.

    Returns the encoding, how many ids of ``left`` and of ``right`` it replaces, and the character
    where ``text`` begins in it.
    """
    longest = max(0 if array is None else len(array) for array in (left, right))
    windows: tuple[int, ...] = (WINDOW, 2 * WINDOW)
    shifts, farthest = _SHIFTS, 2 * WINDOW + _SHIFTS
    while True:
        before = b"" if left is None else left[-farthest:].tobytes()
        after = b"" if right is None else right[:farthest].tobytes()
        key = text, before, after
        if key not in memo:
            memo[key] = _within(tokenizer, left, text, right, windows, shifts)
        if (found := memo[key]) is not None:
            return found
        if farthest >= longest or len(before) + len(after) > 4 * _MOST_CHARACTERS:
            return None
        window = 4 * windows[-1]
        windows, shifts, farthest = (window,), _LARGE_SHIFTS, window + _LARGE_SHIFTS


def _within(
    tokenizer: Tokenizer, left: np.ndarray | None, text: str, right: np.ndarray | None, windows: Sequence[int],
    shifts: int,
) -> _Seam | None:
    """The seam in windows of these sizes, each edge moved by fewer than ``shifts`` ids."""
    is_large = windows[-1] > 2 * WINDOW
    for window in windows:
        for shift in range(shifts):
            num_left = 0 if left is None else min(window + shift, len(left))
            before = "" if left is None else tokenizer.decode(left[len(left) - num_left :])
            head = np.empty(0, np.int32) if left is None else left[len(left) - num_left :][:AGREE]
            if not np.array_equal(tokenizer.encode(before).ids[: len(head)], head):
                continue
            for right_shift in range(shifts):
                # the array's end is left to the seam behind it
                num_right = 0 if right is None else min(window + right_shift, len(right) - 2 * AGREE)
                after = "" if right is None else tokenizer.decode(right[:num_right])
                if is_large and len(before) + len(after) > _MOST_CHARACTERS:
                    return None
                seam = tokenizer.encode(before + text + after)
                tail = np.empty(0, np.int32) if right is None else right[:num_right][-AGREE:]
                if (
                    len(seam.ids) >= len(head) + len(tail)
                    and np.array_equal(seam.ids[: len(head)], head)
                    and np.array_equal(seam.ids[len(seam.ids) - len(tail) :], tail)
                ):
                    return seam, num_left, num_right, len(before)
    return None


def _shown(tokenizer: Tokenizer, left: np.ndarray | None, text: str, right: np.ndarray | None) -> str:
    """The place of a seam, for a message: the text there, and some characters before and behind it."""
    before = "" if left is None else tokenizer.decode(left[-8:])[-20:]
    after = "" if right is None else tokenizer.decode(right[:8])[:20]
    return repr(before + text[:60] + after)


def is_canonical(tokenizer: Tokenizer, ids: np.ndarray) -> bool:
    """Whether decoding and tokenising again gives the same ids, control tokens set apart."""
    controls = np.isin(ids, list(tokenizer.controls.values()))
    edges = np.concatenate(([-1], np.flatnonzero(controls), [len(ids)]))
    for start, stop in zip(edges[:-1] + 1, edges[1:], strict=True):
        run = ids[start:stop]
        if not np.array_equal(tokenizer.encode(tokenizer.decode(run)).ids, run):
            return False
    return True
