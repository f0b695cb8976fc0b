"""Builds a context of an exact length: needles at sentence ends, the rest the haystack in order."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, groupby

import numpy as np

from niah.errors import NiahError
from niah.haystacks.corpus import chunks, tokenise
from niah.prompts.template import Frame
from niah.records import Context, Problem, Stretch
from niah.tokens import boundaries, turns
from niah.tokens.splice import Memo, Spliced, SpliceError, splice
from niah.tokens.tokenizer import Tokenizer

SLACK = 8
"""Haystack tokens kept after the last needle, so that there is something to cut to length."""
REACH = 24
"""How many tokens before the wanted end a cut is tried before filler is added."""
_NEAR = 16
"""Tokens before a cut that tell what it follows."""
_FILLERS = ("", " .", " . .", " . . .", " . . . .", ".", " …", "\n.", " . . . . .")
"""Ends for the rare context that no cut of the haystack brings to the exact length."""
_LONG_FILLERS = tuple(" ." * number for number in range(6, 49))
"""Ends for text whose cuts lie further apart than those reach, as that of characters of many tokens."""

Pieces = list[tuple[int | None, np.ndarray | str]]
"""(needle number or None, piece) in reading order; white space is its own piece."""


@dataclass(frozen=True)
class Layout:
    """``head`` is all up to the last needle and it; ``ids[start:]`` follow, of which the end is cut off.

    ``stop`` is about where. ``limit``, the last place of a needle, is in tokens of the haystack.
    """

    head: Pieces
    ids: np.ndarray
    start: int
    stop: int
    limit: int


def build(
    tokenizer: Tokenizer, frame: Frame, stretch: Stretch, problem: Problem,
    depths: Sequence[float], num_prompt_tokens: int, where: str,
) -> tuple[Context, Spliced]:
    """The context with which the whole prompt has exactly ``num_prompt_tokens`` ids, and that prompt.

    ``depths`` (percent) is one depth per needle; each needle goes to the sentence end nearest to it.
    Raises NiahError when needles and question leave no room for a haystack.
    """
    overhead, costs = check_room(tokenizer, frame, problem, num_prompt_tokens, where)
    room = num_prompt_tokens - overhead - sum(costs)
    if not problem.documents and len(stretch.ids) < room:
        raise AssertionError(f"stretch of {len(stretch.ids)} ids for a haystack of {room}")
    memo: Memo = {}
    limit = max(0, room - SLACK)
    while True:
        if problem.documents:
            layout = _among_documents(tokenizer, problem, depths, room, limit)
        else:
            layout = _in_stretch(tokenizer, stretch, problem, depths, room, limit)
        last, spare = cut_to_length(tokenizer, frame, layout, stretch.source, num_prompt_tokens, memo, where)
        if last is not None:
            pieces, whole = last
            return finished(frame, pieces, whole, len(problem.needles), num_prompt_tokens - overhead), whole
        if spare >= REACH or not problem.needles:
            break
        if limit == 0:
            raise _no_room(where, num_prompt_tokens, overhead, costs)
        # the white space around needles was not reckoned: too little is left behind the last one
        limit = max(0, min(layout.limit, limit) - max(SLACK, REACH - spare))
    raise NiahError(
        f"{where}: no cut of haystack {stretch.source} gives exactly {num_prompt_tokens:,} tokens; "
        "take another length, seed or haystack"
    )


def check_room(
    tokenizer: Tokenizer, frame: Frame, problem: Problem, num_prompt_tokens: int, where: str
) -> tuple[int, list[int]]:
    """The tokens of template and question, and about those of each needle. Raises NiahError where no others fit."""
    overhead = splice(tokenizer, frame.around(("",))).num_tokens
    costs = [len(tokenizer.encode(_alone(problem, needle)).ids) for needle in problem.needles]
    if num_prompt_tokens - overhead - sum(costs) < 1:
        raise _no_room(where, num_prompt_tokens, overhead, costs)
    return overhead, costs


def _no_room(where: str, num_prompt_tokens: int, overhead: int, costs: Sequence[int]) -> NiahError:
    return NiahError(
        f"{where}: needles and question do not fit; got {num_prompt_tokens:,} prompt tokens for "
        f"{overhead:,} of template and question and {sum(costs):,} of {len(costs)} needles; "
        "expected a longer length, or fewer or shorter needles"
    )


def _alone(problem: Problem, needle: str) -> str:
    """A needle with what is put before it, to count its tokens."""
    return f"{problem.between}{problem.heading.format(number=100)}{needle}" if problem.documents else f" {needle}"


def cut_to_length(
    tokenizer: Tokenizer, frame: Frame, layout: Layout, source: str, num_prompt_tokens: int, memo: Memo, where: str
) -> tuple[tuple[Pieces, Spliced] | None, int]:
    """The pieces and the prompt whose end is cut to the exact length, None where no cut gives it; and how many tokens
    are about left behind the last needle."""
    start, ids = layout.start, layout.ids

    def assembled(stop: int, filler: str) -> tuple[Pieces, Spliced]:
        pieces: Pieces = [*layout.head, (None, ids[start:stop]), (None, filler)]
        if frame.reply and turns.is_users([piece for _, piece in pieces], tokenizer):
            pieces.append((None, frame.reply))
        try:
            return pieces, splice(tokenizer, frame.around([piece for _, piece in pieces]), memo)
        except SpliceError as error:
            raise NiahError(
                f"{where}: haystack {source} has too long a run of characters without a break: {error}; "
                "expected words and lines; break that line, or take another haystack"
            ) from error

    spare = 0
    for filler in (*_FILLERS, *_LONG_FILLERS):
        # merges at the seams move the length by a token or two: look around the first guess
        _, first = assembled(layout.stop, filler)
        guess = layout.stop - (first.num_tokens - num_prompt_tokens)
        spare = spare if filler else guess - start
        if filler in _LONG_FILLERS and spare < REACH:
            break
        for stop in sorted(range(guess - REACH, guess + REACH), key=lambda stop: abs(stop - guess)):
            if not start <= stop <= len(ids) or not boundaries.is_whole(tokenizer, ids, stop):
                continue
            if frame.reply and tokenizer.decode(ids[max(start, stop - _NEAR) : stop])[-1:].isspace():
                continue  # some templates leave white space out at the end of a turn, and none is empty
            pieces, whole = assembled(stop, filler)
            if whole.num_tokens == num_prompt_tokens:
                return (pieces, whole), spare
    return None, spare


def _in_stretch(
    tokenizer: Tokenizer, stretch: Stretch, problem: Problem, depths: Sequence[float], room: int, limit: int
) -> Layout:
    """Needles in a stretch of ``room`` tokens, none behind ``limit``."""
    unit = unit_of(stretch, problem)
    cuts = [boundaries.nearest(tokenizer, stretch.ids, depth / 100 * room, limit, unit) for depth in depths]
    head, last_cut = with_needles(tokenizer, stretch, problem, cuts, unit, depths if problem.in_order else ())
    return Layout(head, stretch.ids, last_cut, room, max(cuts, default=0))


def unit_of(stretch: Stretch, problem: Problem) -> str:
    """What needles stand between (boundaries.UNITS)."""
    return "paragraph" if problem.as_paragraphs else "line" if stretch.by_line else "sentence"


def _among_documents(
    tokenizer: Tokenizer, problem: Problem, depths: Sequence[float], room: int, limit: int
) -> Layout:
    """Needles as documents among the others, all of them numbered in the order in which they stand."""
    sizes = map(len, tokenizer.encode_ids([_alone(problem, document) for document in problem.documents]))
    before = np.cumsum([0, *sizes])
    before = before[: max(1, int(np.searchsorted(before, limit, side="right")))]
    places = [int(np.argmin(np.abs(before - depth / 100 * room))) for depth in depths]
    order = sorted(range(len(places)), key=lambda needle: depths[needle]) if problem.in_order else range(len(places))
    head: Pieces = []
    run: list[str] = []
    numbers = count(1)

    def flush() -> np.ndarray:
        text = "".join(run)
        run.clear()
        return np.concatenate([np.empty(0, np.int32), *tokenise(chunks([text], ""), tokenizer)], dtype=np.int32)

    def heading() -> str:
        number = next(numbers)
        return (problem.between if number > 1 else "") + problem.heading.format(number=number)

    for place, document in enumerate(problem.documents):
        for needle in (number for number in order if places[number] == place):
            run.append(heading())
            head += [(None, flush()), (needle, problem.needles[needle])]
        run.append(heading() + document)
    num_head = sum(len(piece) for _, piece in head if isinstance(piece, np.ndarray))
    num_marks = len(problem.needles) * len(tokenizer.encode(_alone(problem, "")).ids)
    ids, stop = flush(), max(0, room - num_head + num_marks)
    if len(ids) < stop:
        raise AssertionError(f"documents of {len(ids)} ids for {stop} behind the last needle")
    return Layout(head, ids, 0, stop, int(before[max(places, default=0)]))


def with_needles(
    tokenizer: Tokenizer, stretch: Stretch, problem: Problem, cuts: Sequence[int], unit: str,
    depths: Sequence[float] = (),
) -> tuple[Pieces, int]:
    """The haystack up to its last cut with all needles in it, and that cut. Needles of one cut stand in the order of
    their ``depths``, where they have any, else of their numbers."""
    pieces: Pieces = []
    start = 0
    ordered = sorted((cut, depths[number] if depths else 0.0, number) for number, cut in enumerate(cuts))
    for cut, group in groupby(ordered, key=lambda placed: placed[0]):
        numbers = [number for *_, number in group]
        texts = [problem.needles[number] for number in numbers]
        pieces.append((None, stretch.ids[start:cut]))
        before = tokenizer.decode(stretch.ids[max(0, cut - 8) : cut])
        after = tokenizer.decode(stretch.ids[cut : cut + 8])
        if problem.carries_space:
            spaces = [""] * (len(texts) + 1)
        else:
            spaces = _spaces(before, texts, after) if unit == "sentence" else _breaks(before, texts, unit)
        pieces.append((None, spaces[0]))
        for number, text, space in zip(numbers, texts, spaces[1:], strict=True):
            pieces.extend([(number, text), (None, space)])
        start = cut
    return pieces, start


def _spaces(before: str, needles: Sequence[str], after: str) -> list[str]:
    """White space before, between and after needles so that words do not run together."""
    lead = "" if not before or boundaries.is_open(before[-1]) else " "
    between = ["" if boundaries.is_open(needle[-1]) else " " for needle in needles[:-1]]
    return [lead, *between, "" if not after or boundaries.is_open(after[0]) else " "]


def _breaks(before: str, needles: Sequence[str], unit: str) -> list[str]:
    """Line breaks that give each needle a line or a paragraph of its own."""
    mark = "\n" if unit == "line" else "\n\n"
    return ["" if not before or before.endswith(mark) else mark, *[mark] * len(needles)]


def finished(frame: Frame, pieces: Pieces, whole: Spliced, num_needles: int, num_tokens: int) -> Context:
    places = {number: place for place, (number, _) in enumerate(pieces) if number is not None}
    first = frame.num_before
    origin = whole.spans[first][0]
    depths = tuple(
        round(100 * (whole.spans[first + places[number]][0] - origin) / num_tokens, 4) for number in range(num_needles)
    )
    return Context(
        pieces=tuple(piece for _, piece in pieces),
        needles=tuple(places[number] for number in range(num_needles)),
        depths=depths,
        num_tokens=num_tokens,
    )


def sha256(context: Context, problem: Problem) -> str:
    """Of all text of a context, its question and its answers: equal for equal instances, whatever the reader shows."""
    digest = hashlib.sha256()
    for piece in (*context.pieces, problem.question, *problem.targets):
        data = piece.encode() if isinstance(piece, str) else np.ascontiguousarray(piece, dtype=np.int32).data
        digest.update(memoryview(data).nbytes.to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
