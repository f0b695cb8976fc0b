"""A context whose needle begins at one very token of the prompt, for tests of an engine's borders (``ctx.stem``).

The beginning of a long one is text of the trial's repeat, which an engine with a prefix cache computes once. What
follows, and all of a short one, is the trial's own, drawn anew for each: what one text does to an answer is then no
pattern of lengths and places.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from niah.errors import NiahError
from niah.prompts import context
from niah.prompts.context import Layout, Pieces
from niah.prompts.template import Frame
from niah.records import Context, Problem, Stretch
from niah.tokens import boundaries
from niah.tokens.splice import Memo, Spliced, splice
from niah.tokens.tokenizer import Tokenizer

OWN = 160
"""Tokens of a prompt at least that it shares with no other: text of its own, the question, and a needle among them."""
_GRAIN = 128
"""What prompts of a repeat share is a multiple of this."""
_FILLERS = ("", " .", " . .", " . . .")
"""Put before a needle where no word begins at the wanted token."""
_TRIED = 6
"""Words around the place that are tried."""


def around(tokenizer: Tokenizer, frame: Frame) -> tuple[int, int]:
    """Tokens of a prompt before its context and behind it."""
    bare = splice(tokenizer, frame.around(("",)))
    before = bare.spans[frame.num_before][0]
    return before, bare.num_tokens - before


def num_shared(num_prompt_tokens: int, stem: int) -> int:
    """Tokens of a prompt that others of its repeat begin with too: none of one that is hardly longer than ``stem``."""
    if num_prompt_tokens < stem + OWN:
        return 0
    return (num_prompt_tokens - OWN) // _GRAIN * _GRAIN


def build(
    tokenizer: Tokenizer, frame: Frame, shared: Stretch, own: Stretch, problem: Problem, place: int,
    num_prompt_tokens: int, stem: int, where: str,
) -> tuple[Context, Spliced]:
    """The context with which the prompt has exactly ``num_prompt_tokens`` ids, and that prompt.

    The needle begins at token ``place`` of the prompt, or as near to it as there is room and a word. ``shared`` is the
    repeat's text, ``own`` the trial's. Raises NiahError for more than one needle, and where there is no room for it.
    """
    if len(problem.needles) != 1 or problem.documents or problem.carries_space:
        raise NiahError(f"{where}: an exact place is that of one needle; got {len(problem.needles)}; take task=single")
    bare = splice(tokenizer, frame.around(("",)))
    origin = bare.spans[frame.num_before][0]
    cost = len(tokenizer.encode(f" {problem.needles[0]}").ids)
    room = num_prompt_tokens - bare.num_tokens - cost
    last = room - context.SLACK - context.REACH
    if last < 0:
        raise NiahError(
            f"{where}: needle and question do not fit; got {num_prompt_tokens:,} prompt tokens for "
            f"{bare.num_tokens:,} of template and question and {cost} of the needle; expected a longer length"
        )
    shared_tokens = min(num_shared(num_prompt_tokens, stem), last)
    memo: Memo = {}
    wanted = min(max(0, place - origin), last)
    head = _head(tokenizer, frame, shared, own, problem, wanted, shared_tokens, memo)
    layout = Layout(head[0], own.ids, head[1], head[1] + max(0, room - _num_haystack(head[0])), 0)
    found, _ = context.cut_to_length(tokenizer, frame, layout, own.source, num_prompt_tokens, memo, where)
    if found is None:
        raise NiahError(
            f"{where}: no cut of haystack {own.source} gives exactly {num_prompt_tokens:,} tokens; take another "
            "length, seed or haystack"
        )
    pieces, whole = found
    return context.finished(frame, pieces, whole, 1, num_prompt_tokens - bare.num_tokens), whole


def _num_haystack(pieces: Pieces) -> int:
    return sum(len(piece) for _, piece in pieces if isinstance(piece, np.ndarray))


def _head(
    tokenizer: Tokenizer, frame: Frame, shared: Stretch, own: Stretch, problem: Problem, wanted: int,
    shared_tokens: int, memo: Memo,
) -> tuple[Pieces, int]:
    """All up to the text of its own that is cut to length, and where that begins: the needle as near to token
    ``wanted`` of the context as words allow."""
    cut = boundaries.nearest(tokenizer, shared.ids, shared_tokens, shared_tokens, "word") if shared_tokens else 0
    joint = "\n\n" if cut else ""
    origin = splice(tokenizer, frame.around(("",))).spans[frame.num_before][0]
    best: tuple[int, Pieces, int] | None = None
    guess = wanted
    for _ in range(2):  # the second time with what seams took
        for pieces, start in _tried(tokenizer, shared, own, problem, guess, cut, joint):
            place = next(number for number, (needle, _) in enumerate(pieces) if needle is not None)
            whole = splice(tokenizer, frame.around([piece for _, piece in pieces]), memo)
            off = whole.spans[frame.num_before + place][0] - origin - wanted
            if best is None or abs(off) < abs(best[0]):
                best = off, pieces, start
            if not off:
                return pieces, start
        assert best is not None
        guess = max(0, guess - best[0])
    assert best is not None
    return best[1], best[2]


def _tried(
    tokenizer: Tokenizer, shared: Stretch, own: Stretch, problem: Problem, wanted: int, cut: int, joint: str
) -> Iterator[tuple[Pieces, int]]:
    """Ways to put the needle near token ``wanted`` of the context, the likeliest first."""
    is_shared = wanted < cut
    text = shared if is_shared else own
    at = wanted if is_shared else wanted - cut - len(tokenizer.encode(joint).ids if joint else ())
    stop = cut if is_shared else len(own.ids) - 1
    tried: set[int] = set()
    for back in range(_TRIED):
        word = boundaries.nearest(tokenizer, text.ids, max(0, at - back), max(0, stop), "word")
        if word in tried:
            continue
        tried.add(word)
        for filler in _FILLERS:
            ids = replace(text, ids=text.ids[:stop] if is_shared else text.ids)
            planted, place = context.with_needles(tokenizer, ids, problem, [word], "sentence")
            if filler:
                number = next(number for number, (needle, _) in enumerate(planted) if needle is not None)
                planted.insert(number - 1, (None, filler))
            if is_shared:
                yield [*planted, (None, shared.ids[place:cut]), (None, joint)], 0
            else:
                yield [(None, shared.ids[:cut]), (None, joint), *planted], place
