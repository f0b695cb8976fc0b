"""A trial's prompt in pieces of ids, and again a prompt of what a shape keeps of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from niah.commands.shrink.shape import Shape
from niah.errors import NiahError
from niah.prompts.template import digest
from niah.records import Prompt
from niah.tokens.tokenizer import Tokenizer

LINE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
"""The filler that stays where a fault does not need the trial's own: RULER's noise (arXiv:2404.06654)."""


@dataclass(frozen=True)
class Pieces:
    """``whole`` is the trial's own prompt. Its ids are ``head``, then ``gaps`` with ``needles`` between them, in the
    order of the text, then ``tail``; all int32 (tokens,). ``order`` is each needle's place among the prompt's spans.
    ``earlier`` are the prompts that may have to be asked before."""

    whole: Prompt
    head: np.ndarray
    gaps: tuple[np.ndarray, ...]
    needles: tuple[np.ndarray, ...]
    tail: np.ndarray
    order: tuple[int, ...]
    line: np.ndarray
    earlier: tuple[Prompt, ...] = ()

    @property
    def shape(self) -> Shape:
        """All of it, without requests before."""
        return Shape(tuple(map(len, self.gaps)), len(self.head), len(self.tail), self.whole.max_tokens)

    def prompt(self, shape: Shape) -> Prompt:
        """What is left of the trial's prompt. Cuts lie between tokens, wherever a length wants them: what is sent need
        not be what the tokenizer would make of its text."""
        parts, spans, place = [self.head[: shape.head]], [(0, 0)] * len(self.needles), shape.head
        for number, (gap, size) in enumerate(zip(self.gaps, shape.gaps, strict=True)):
            kept = gap[: 0 if shape.is_plain else size]
            parts += [kept, np.resize(self.line, size - len(kept))]
            place += size
            if number < len(self.needles):
                needle = self.needles[number]
                spans[self.order[number]] = (place, place + len(needle))
                parts.append(needle)
                place += len(needle)
        parts.append(self.tail[len(self.tail) - shape.tail :])
        ids = np.concatenate(parts, dtype=np.int32)
        return replace(
            self.whole, ids=ids, spans=tuple(spans), max_tokens=shape.max_tokens, sha256=digest(ids),
            num_needed=len(spans), message=None,
        )

    def before(self, shape: Shape) -> list[Prompt]:
        """What is left of the requests before it, in their order; those that are left out are not there."""
        cut = [
            replace(prompt, ids=prompt.ids[:size], spans=(), sha256=digest(prompt.ids[:size]), message=None)
            for prompt, size in zip(self.earlier, shape.earlier, strict=True) if size
        ]
        return [replace(prompt, forced=None, num_needed=0) for prompt in cut]


def pieces_of(prompt: Prompt, num_needed: int | None, tokenizer: Tokenizer) -> Pieces:
    """A prompt's pieces. Only the first ``num_needed`` needles (None: all) are kept whatever goes; others are filler.

    Raises NiahError for a prompt whose context is not known.
    """
    start, stop = prompt.context
    if stop <= start:
        raise NiahError("shrink: nothing but a question is in this prompt; expected a trial with a context")
    spans = prompt.spans[: len(prompt.spans) if num_needed is None else num_needed]
    order = tuple(sorted(range(len(spans)), key=spans.__getitem__))
    gaps, needles, place = [], [], start
    for number in order:
        first, last = max(place, spans[number][0]), max(place, spans[number][1])
        gaps.append(prompt.ids[place:first])
        needles.append(prompt.ids[first:last])
        place = last
    gaps.append(prompt.ids[place : max(place, stop)])
    return Pieces(
        prompt, prompt.ids[:start], tuple(gaps), tuple(needles), prompt.ids[max(place, stop) :], order,
        line_of(tokenizer),
    )


def line_of(tokenizer: Tokenizer) -> np.ndarray:
    """LINE as ids, int32 (tokens,)."""
    return np.asarray(tokenizer.encode(LINE).ids, dtype=np.int32)


def num_tokens(prompts: Sequence[Prompt]) -> int:
    return sum(len(prompt.ids) for prompt in prompts)
