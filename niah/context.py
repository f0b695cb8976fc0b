"""Builds a context of an exact length: needles at sentence ends, the rest the haystack in order."""

import unicodedata
from collections.abc import Sequence

import numpy as np

from niah.errors import NiahError
from niah.prompt import Frame
from niah.records import Context, Problem, Stretch
from niah.splice import Piece, SpliceError, splice
from niah.tokens import Tokenizer

_SLACK = 8
"""Haystack tokens kept after the last needle, so that there is something to cut to length."""
_REACH = 24
"""How many tokens before the wanted end a cut is tried before filler is added."""
_FILLERS = ("", " .", " . .", " . . .", " . . . .", ".", " …", "\n.", " . . . . .")
"""Ends for the rare context that no cut of the haystack brings to the exact length."""


def build(
    tokenizer: Tokenizer, frame: Frame, stretch: Stretch, problem: Problem,
    depths: Sequence[float], num_prompt_tokens: int, where: str,
) -> Context:
    """The context with which the whole prompt has exactly ``num_prompt_tokens`` ids.

    ``depths`` (percent) is one depth per needle; each needle goes to the sentence end nearest to it.
    Raises NiahError when needles and question leave no room for a haystack.
    """
    overhead = len(splice(tokenizer, frame.around(("",))).ids)
    costs = [len(tokenizer.encode(" " + needle).ids) for needle in problem.needles]
    room = num_prompt_tokens - overhead - sum(costs)
    if room < 1:
        raise NiahError(
            f"{where}: needles and question do not fit; got {num_prompt_tokens:,} prompt tokens for "
            f"{overhead:,} of template and question and {sum(costs):,} of needles; "
            "expected a longer length or shorter needles"
        )
    if len(stretch.ids) < room:
        raise AssertionError(f"stretch of {len(stretch.ids)} ids for a haystack of {room}")
    cuts = _positions(stretch, depths, costs, room)
    last_cut = max(cut for cut, _ in cuts)
    for filler in _FILLERS:
        # merges at the seams move the length by a token or two: look around the first guess
        guess = room - _difference(tokenizer, frame, stretch, problem, cuts, room, filler, num_prompt_tokens)
        for stop in sorted(range(guess - _REACH, guess + _REACH), key=lambda stop: abs(stop - guess)):
            if not last_cut <= stop <= len(stretch.ids) or not _whole(tokenizer, stretch.ids, stop):
                continue
            pieces = _pieces(tokenizer, stretch, problem.needles, cuts, stop, filler)
            if _length(tokenizer, frame, pieces) == num_prompt_tokens:
                return _finished(tokenizer, frame, pieces, problem.needles, num_prompt_tokens - overhead)
    raise NiahError(
        f"{where}: no cut of haystack {stretch.source} gives exactly {num_prompt_tokens:,} tokens; "
        "take another length, seed or haystack"
    )


def _difference(
    tokenizer: Tokenizer, frame: Frame, stretch: Stretch, problem: Problem,
    cuts: Sequence[tuple[int, int]], stop: int, filler: str, wanted: int,
) -> int:
    """Tokens by which a context cut at ``stop`` is too long; 0 where that cannot be told."""
    length = _length(tokenizer, frame, _pieces(tokenizer, stretch, problem.needles, cuts, stop, filler))
    return 0 if length is None else length - wanted


def _positions(
    stretch: Stretch, depths: Sequence[float], costs: Sequence[int], room: int
) -> list[tuple[int, int]]:
    """(haystack token where it is cut, needle number), in reading order."""
    usable = stretch.boundaries[: np.searchsorted(stretch.boundaries, max(0, room - _SLACK), side="right")]
    placed = []
    for number, depth in enumerate(depths):
        wanted = depth / 100 * room
        after = int(np.searchsorted(usable, wanted))
        nearest = usable[max(0, after - 1) : after + 1]
        placed.append((int(nearest[np.argmin(np.abs(nearest - wanted))]), number))
    return sorted(placed)


def _pieces(
    tokenizer: Tokenizer, stretch: Stretch, needles: Sequence[str],
    cuts: Sequence[tuple[int, int]], stop: int, filler: str,
) -> list[tuple[int | None, np.ndarray | str]]:
    """(needle number or None, piece) in reading order; white space is its own piece."""
    pieces: list[tuple[int | None, np.ndarray | str]] = []
    start = 0
    for cut, number in cuts:
        pieces.append((None, stretch.ids[start:cut]))
        # what follows the cut in the haystack, also where this context ends just there
        after = tokenizer.decode(stretch.ids[cut : min(cut + 8, stop)])
        before = tokenizer.decode(stretch.ids[max(0, cut - 8) : cut])
        lead, trail = _spaces(before, needles[number], after)
        pieces.extend([(None, lead), (number, needles[number]), (None, trail)])
        start = cut
    pieces.extend([(None, stretch.ids[start:stop]), (None, filler)])
    return pieces


def _spaces(before: str, needle: str, after: str) -> tuple[str, str]:
    """White space to put before and after a needle so that words do not run together."""
    lead = "" if not before or before[-1].isspace() or _is_wide(before[-1]) else " "
    trail = "" if not after or after[0].isspace() or _is_wide(after[0]) else " "
    return lead, trail


def _is_wide(character: str) -> bool:
    """Written without spaces between sentences: CJK ideographs, kana and their punctuation."""
    return unicodedata.east_asian_width(character) in "WF"


def _whole(tokenizer: Tokenizer, ids: np.ndarray, stop: int) -> bool:
    """Whether no character is cut in two at ``stop``."""
    return stop == 0 or not tokenizer.decode(ids[max(0, stop - 6) : stop]).endswith("\ufffd")


def _length(
    tokenizer: Tokenizer, frame: Frame, pieces: Sequence[tuple[int | None, np.ndarray | str]]
) -> int | None:
    try:
        return len(splice(tokenizer, frame.around([piece for _, piece in pieces])).ids)
    except SpliceError:
        return None


def _finished(
    tokenizer: Tokenizer, frame: Frame, pieces: Sequence[tuple[int | None, np.ndarray | str]],
    needles: Sequence[str], num_tokens: int,
) -> Context:
    flat: list[Piece] = frame.around([piece for _, piece in pieces])
    spans = splice(tokenizer, flat).spans
    places = {number: place for place, (number, _) in enumerate(pieces) if number is not None}
    first = frame.num_before
    origin = spans[first][0]
    depths = tuple(
        round(100 * (spans[first + places[number]][0] - origin) / num_tokens, 4)
        for number in range(len(needles))
    )
    return Context(
        pieces=tuple(piece for _, piece in pieces),
        needles=tuple(places[number] for number in range(len(needles))),
        depths=depths,
        num_tokens=num_tokens,
    )
