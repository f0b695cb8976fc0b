"""One text for many questions (``ctx.share``): where its needles stand, and what a length of it holds.

With ``share=depths`` the text of a (length, repeat) holds a needle for every depth; with ``share=lengths`` that of a
repeat holds one for every depth of every length, and a shorter length is the beginning of a longer one. Trials then
differ in their question, at the end of the prompt, so that an engine with a prefix cache computes the text once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from niah import grid
from niah.errors import NiahError
from niah.prompts import context
from niah.prompts.template import Frame
from niah.records import Context, Problem, Stretch
from niah.tokens import boundaries
from niah.tokens.splice import Memo, Spliced, splice
from niah.tokens.tokenizer import Tokenizer

SPARE = context.SLACK + context.REACH
"""Haystack tokens kept between the last needle of a length and its end: there every question cuts it to the exact
length, without moving a needle."""
_PASSES = 4
"""Layouts tried: the first reckons a needle's tokens as if it stood alone, the next ones as they were measured."""


@dataclass(frozen=True)
class Questions:
    """Which question each cell asks: cells of different lengths whose needles would stand at one place share it.

    ``of_cell`` gives a number from 0 for each (length, depth), in reading order of the needles. ``cells`` are, for
    each question, the cells that ask it, the shortest first.
    """

    of_cell: Mapping[tuple[int, float], int]
    cells: tuple[tuple[tuple[int, float], ...], ...]

    def __len__(self) -> int:
        return len(self.cells)


def questions(lengths: Sequence[int], depths: Sequence[float]) -> Questions:
    """``lengths`` in tokens stand in one text, each with a needle at every one of ``depths`` (percent)."""
    places: dict[Fraction, list[tuple[int, float]]] = {}
    for length in sorted(set(lengths)):
        for depth in sorted(set(depths)):
            places.setdefault(Fraction(depth).limit_denominator(10**6) * length, []).append((length, depth))
    cells = tuple(tuple(places[place]) for place in sorted(places))
    return Questions({cell: number for number, group in enumerate(cells) for cell in group}, cells)


@dataclass(frozen=True)
class _Needle:
    """A needle of a question: ``place`` is where it is to begin, in tokens of the text; ``length`` the shortest that
    has to hold it."""

    question: int
    number: int
    text: str
    place: float
    length: int


@dataclass(frozen=True)
class SharedText:
    """A text with the needles of all questions.

    ``needles`` stand in reading order, each before token ``cuts[i]`` of the stretch; ``num_in`` says for each length
    how many of them it holds, and ``problems`` are the questions in the order of ``asked``.
    """

    tokenizer: Tokenizer = field(repr=False)
    stretch: Stretch = field(repr=False)
    asked: Questions
    problems: tuple[Problem, ...]
    frames: tuple[Frame, ...]
    needles: tuple[_Needle, ...]
    cuts: tuple[int, ...]
    num_in: Mapping[int, int]
    memo: Memo = field(repr=False, default_factory=dict)

    def problem(self, length: int, depth: float) -> Problem:
        """The cell's question, with all needles that its length holds: its own first, the others in reading order.
        Answers to the others are distractors."""
        own = self.asked.of_cell[length, depth]
        problem, order = self.problems[own], self._order(length, own)
        others = dict.fromkeys(needle.question for needle in self.needles[: self.num_in[length]])
        wrong = [text for one in others if one != own
                 for text in (*self.problems[one].targets, *self.problems[one].distractors)]
        return replace(
            problem, needles=tuple(self.needles[place].text for place in order),
            distractors=tuple(dict.fromkeys((*problem.distractors, *wrong))),
            num_needed=len(problem.needles) if problem.num_needed is None else problem.num_needed,
        )

    def frame(self, length: int, depth: float) -> Frame:
        """What stands around the text where the cell's question is asked."""
        return self.frames[self.asked.of_cell[length, depth]]

    def built(self, length: int, depth: float, num_prompt_tokens: int, where: str) -> tuple[Context, Spliced]:
        """As ``context.build``: the cell's context, its needles in the order of ``problem``, and the exact prompt."""
        num, own = self.num_in[length], self.asked.of_cell[length, depth]
        frame = self.frames[own]
        stop = self.cuts[num] if num < len(self.cuts) else len(self.stretch.ids)
        head, start = _with_needles(self.tokenizer, self.stretch, self.problems[own], self.needles[:num], self.cuts)
        num_tokens = num_prompt_tokens - splice(self.tokenizer, frame.around(("",))).num_tokens
        layout = context.Layout(head, self.stretch.ids[:stop], start, min(stop, start + SPARE), start)
        found, spare = context.cut_to_length(
            self.tokenizer, frame, layout, self.stretch.source, num_prompt_tokens, self.memo, where
        )
        if found is None:
            raise NiahError(
                f"{where}: no cut of haystack {self.stretch.source} gives exactly {num_prompt_tokens:,} tokens (about "
                f"{spare} behind the last needle); take another length, seed or haystack, or ctx.share=none"
            )
        pieces, whole = found
        made = context.finished(frame, pieces, whole, num, num_tokens)
        order = self._order(length, own)
        return replace(
            made, needles=tuple(made.needles[place] for place in order),
            depths=tuple(made.depths[place] for place in order),
        ), whole

    def _order(self, length: int, own: int) -> list[int]:
        """Places in ``needles`` of those that a length holds, the question's own first, in its own order."""
        num = self.num_in[length]
        mine = {needle.number: place for place, needle in enumerate(self.needles[:num]) if needle.question == own}
        first = [mine[number] for number in sorted(mine)]
        return first + [place for place, needle in enumerate(self.needles[:num]) if needle.question != own]


def text(
    tokenizer: Tokenizer, stretch: Stretch, asked: Questions, problems: Sequence[Problem], frames: Sequence[Frame],
    num_tokens: Mapping[int, int], placement: str, rng: np.random.Generator, where: str,
) -> SharedText:
    """Plants the needles of all problems. ``num_tokens`` are those of each length without its answer.

    The first needle of a problem goes to the place of its cells, the others by ``placement`` (grid.PLACEMENTS) over
    the shortest length that asks it. Raises NiahError where a length has no room for its needles and a haystack.
    """
    overheads = [splice(tokenizer, frame.around(("",))).num_tokens for frame in frames]
    room = {length: num - max(overheads) for length, num in num_tokens.items()}
    spread = max(overheads) - min(overheads) + context.REACH
    needles = _wanted(asked, problems, room, placement, rng)
    costs = [len(tokenizer.encode(f" {needle.text}").ids) for needle in needles]
    memo: Memo = {}
    for _ in range(_PASSES):
        _check_room(needles, costs, room, num_tokens, max(overheads), where)
        cuts = _cuts(tokenizer, stretch, problems[0], needles, costs, room, spread)
        pieces, last = _with_needles(tokenizer, stretch, problems[0], needles, cuts)
        whole = splice(tokenizer, [*(piece for _, piece in pieces), stretch.ids[last : last + SPARE]], memo)
        spans = {number: whole.spans[place] for place, (number, _) in enumerate(pieces) if number is not None}
        num_in = {length: sum(spans[number][0] < room[length] for number in spans) for length in room}
        if all(_is_clear(num_in[length], room[length], spread, spans) for length in room):
            return SharedText(
                tokenizer, stretch, asked, tuple(problems), tuple(frames), tuple(needles), tuple(cuts), num_in
            )
        starts = [spans[number][0] for number in range(len(needles))]
        between = np.diff(cuts, append=last)
        costs = [
            after - before - int(kept) for before, after, kept in
            zip(starts, [*starts[1:], spans[len(needles) - 1][1]], between, strict=True)
        ]
    raise NiahError(
        f"{where}: haystack {stretch.source} has no sentence end for a needle at each depth before the end of a "
        "length; expected shorter sentences, fewer depths, or ctx.share=none"
    )


def _wanted(
    asked: Questions, problems: Sequence[Problem], room: Mapping[int, int], placement: str, rng: np.random.Generator
) -> list[_Needle]:
    """All needles by the place that they are to have."""
    wanted = []
    for question, (cells, problem) in enumerate(zip(asked.cells, problems, strict=True)):
        length, depth = cells[0]
        depths = grid.needle_depths(depth, len(problem.needles), placement, rng)
        wanted += [
            _Needle(question, number, needle, at / 100 * room[length], length)
            for number, (needle, at) in enumerate(zip(problem.needles, depths, strict=True))
        ]
    return sorted(wanted, key=lambda one: (one.place, one.question, one.number))


def _check_room(
    needles: Sequence[_Needle], costs: Sequence[int], room: Mapping[int, int], num_tokens: Mapping[int, int],
    overhead: int, where: str,
) -> None:
    """Raises NiahError for the shortest length that its needles fill."""
    for length in sorted(room):
        within = [cost for needle, cost in zip(needles, costs, strict=True) if needle.place <= room[length]]
        if sum(within) + 2 * SPARE > room[length]:
            raise NiahError(
                f"{where}: needles and question do not fit at {length:,}; got {num_tokens[length]:,} prompt tokens for "
                f"{overhead:,} of template and question and {sum(within):,} of {len(within)} needles that share the "
                "context; expected longer lengths, fewer depths, or ctx.share=none"
            )


def _cuts(
    tokenizer: Tokenizer, stretch: Stretch, problem: Problem, needles: Sequence[_Needle], costs: Sequence[int],
    room: Mapping[int, int], spread: int,
) -> list[int]:
    """The token of the stretch before which each needle stands: none in the last tokens of a length, where the
    questions cut it."""
    unit = context.unit_of(stretch, problem)
    lengths = sorted(room)
    begins = _begins(needles, costs)
    lows = _lows(needles, begins, costs, room, spread)
    cuts: list[int] = []
    planted = 0
    for needle, begin, cost in zip(needles, begins, costs, strict=True):
        before = cuts[-1] if cuts else 0
        number = next((n for n, one in enumerate(lengths) if needle.place <= room[one] + spread), len(lengths) - 1)
        low = lows[lengths[number]]
        is_last = begin + cost > low
        most = (low if is_last else low - cost) - planted
        least = room[lengths[number - 1]] + spread - planted if number else 0
        wanted = (min(needle.place, low) if is_last else needle.place) - planted
        cut = boundaries.nearest(tokenizer, stretch.ids, wanted, max(0, min(most, len(stretch.ids) - 1)), unit)
        while cut < min(least, most):
            wanted = max(wanted, cut) + context.REACH
            cut = max(boundaries.nearest(tokenizer, stretch.ids, wanted, max(0, most), unit), min(int(wanted), most))
        cuts.append(max(cut, before))
        planted += cost
    return cuts


def _begins(needles: Sequence[_Needle], costs: Sequence[int]) -> list[float]:
    """Where each needle begins at the earliest: at its place, or behind those that stand there already."""
    begins, end = [], 0.0
    for needle, cost in zip(needles, costs, strict=True):
        begins.append(max(needle.place, end))
        end = begins[-1] + cost
    return begins


def _lows(
    needles: Sequence[_Needle], begins: Sequence[float], costs: Sequence[int], room: Mapping[int, int], spread: int
) -> dict[int, int]:
    """For each length the token at which its last needles begin at the latest."""
    lows = {}
    for length, num in room.items():
        high = num - SPARE
        low = high
        for _ in needles:  # what moves in front of the end takes room itself
            inside = sum(
                cost for needle, begin, cost in zip(needles, begins, costs, strict=True)
                if begin + cost > low and needle.place <= num + spread
            )
            if high - inside >= low:
                break
            low = high - inside
        lows[length] = low
    return lows


def _is_clear(num: int, room: int, spread: int, spans: Mapping[int, tuple[int, int]]) -> bool:
    """Whether no needle stands where a length of ``room`` tokens ends: ``num`` of them are before that."""
    is_behind = num >= len(spans) or spans[num][0] >= room + spread - context.SLACK
    return is_behind and (not num or spans[num - 1][1] <= room - context.REACH)


def _with_needles(
    tokenizer: Tokenizer, stretch: Stretch, problem: Problem, needles: Sequence[_Needle], cuts: Sequence[int]
) -> tuple[context.Pieces, int]:
    """The haystack up to the last of ``needles`` with all of them in it."""
    texts = replace(problem, needles=tuple(needle.text for needle in needles))
    return context.with_needles(
        tokenizer, stretch, texts, cuts[: len(needles)], context.unit_of(stretch, problem)
    )
