"""Which trials ``edges`` asks: lengths, needle places and ends of prefix-cache hits at every border and its neighbours.

Short prompts are read cold, each a text of its own, and asked again at once, from the prefix cache. Long ones share
whole stems of a text. Which length meets which text and place is drawn by lot, so that what a text does to an answer is
no pattern of lengths.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from niah import grid
from niah.errors import NiahError
from niah.planner.borders import PERIOD, POSITION, Border
from niah.prompts.exact import OWN, num_shared

COLD, AGAIN, LONG = "cold", "again", "long"
"""Zones; a border's own are named ``length``, ``place`` and ``window`` with its tokens."""
NEAR = 16
"""Tokens past a border that are looked at one by one, and 3 before it."""
BEFORE = 3
_SPARE = 36
"""Tokens of haystack kept behind a needle."""
_WIDEST = 256
"""Periods up to this are covered by every length of a zone, larger ones by a zone at one of their borders."""
_SHORT = 320
_STEM = 1024
_EACH_COLD, _LATE, _EARLY = 12, 20, 12
"""Trials of a text: short; long with the needle near the end; long with it near the beginning or in the middle."""
_COLD_PLACES, _LATE_PLACES = 24, 16
_FAR = (-24, -16, -10, 10, 16, 24)
"""Tokens from a window's border at which its neighbours are."""
_AGAIN = 0.25
"""Of a token: the same place in another cell of the grid, so that the same prompt is asked again."""


@dataclass(frozen=True)
class Room:
    """Tokens of a prompt before its context, behind it, of the needle, and in it before its answer, about."""

    before: int
    behind: int
    needle: int
    answer: int

    @property
    def after(self) -> int:
        """From a needle's beginning to the prompt's end at least."""
        return self.needle + self.behind + _SPARE


@dataclass(frozen=True)
class Asked:
    """A trial: a prompt of ``num_tokens`` whose needle begins at token ``place``, in the text of ``repeat``."""

    zone: str
    num_tokens: int
    place: int
    repeat: int
    is_again: bool = False


@dataclass(frozen=True)
class Design:
    """``asked`` in running order. ``width`` is how many neighbouring lengths a zone has, so that periods up to it are
    covered; ``left_out`` are borders that lie beyond the longest prompt."""

    asked: list[Asked]
    stem: int
    measure: int
    width: int
    left_out: list[Border]

    def covers(self, border: Border) -> bool:
        """Whether every place about such a border is asked without knowing of it."""
        return border.kind == PERIOD and border.tokens <= self.width

    def ladder(self, answer_tokens: int) -> grid.Ladder:
        """The grid that holds them all."""
        return grid.Ladder(
            name="edges", lengths=sorted({one.num_tokens + answer_tokens for one in self.asked}),
            depths=sorted({self.depth(one) for one in self.asked}),
            repeats=1 + max(one.repeat for one in self.asked), stem=self.stem, measure=self.measure,
        )

    def depth(self, one: Asked) -> float:
        return 100 * (one.place + (_AGAIN if one.is_again else 0)) / self.measure

    def num_computed(self) -> int:
        """Prompt tokens that an engine with a prefix cache computes, about."""
        total, reached = 0, dict[tuple[int, int], int]()
        for one in self.asked:
            if one.is_again:
                continue
            shared = num_shared(one.num_tokens, self.stem)
            key = one.repeat, one.place if one.place < shared else -1
            before, plain = reached.get(key, 0), reached.get((one.repeat, -1), 0)
            total += one.num_tokens - max(min(before, shared), min(plain, shared, one.place))
            reached[key] = max(before, shared)
        return total


def design(
    borders: Sequence[Border], room: Room, longest: int, texts: int, seed: int, *, is_one_by_one: bool = True
) -> Design:
    """The trials for prompts of at most ``longest`` tokens. Raises NiahError where even the short ones are longer.

    ``is_one_by_one``: a prompt is asked again at once, while the smallest cache holds it; else after all short ones, as
    it may be under way for a while.
    """
    periods = [one.tokens for one in borders if one.kind == PERIOD and one.tokens <= _WIDEST]
    width = max(64, *periods) if periods else 64
    base = width * -(-max(_SHORT, room.before + room.after + 96) // width)
    if base + width > longest:
        raise NiahError(
            f"edges: prompts of {longest:,} tokens are too short to tell lengths apart; expected at least "
            f"{base + width:,}, as with a longer ctx"
        )
    stem = _STEM
    while OWN + stem < base + _WIDEST:
        stem *= 2
    made = _Maker(room, stem, longest, width, max(periods, default=width), texts, seed)
    asked = made.cold(base)
    if not is_one_by_one:
        asked = sorted(asked, key=lambda one: one.is_again)
    long, left_out = made.long(), []
    for border in borders:
        if border.kind == PERIOD and border.tokens <= _WIDEST:
            continue
        own = made.at(border)
        long += own
        if not own:
            left_out.append(border)
    unique = dict.fromkeys(sorted(long, key=lambda one: (one.repeat, -one.place, -one.num_tokens)))
    return Design([*asked, *unique], stem, longest, width, left_out)


class _Maker:
    """Makes the trials of each zone. ``width`` are the lengths of a zone, ``period`` the border that they go over."""

    def __init__(self, room: Room, stem: int, longest: int, width: int, period: int, texts: int, seed: int):
        self._room, self._stem, self._longest, self._width, self._period = room, stem, longest, width, period
        self._texts, self._seed = texts, seed

    def cold(self, base: int) -> list[Asked]:
        """Short prompts, each followed by itself."""
        rng = grid.generator(self._seed, 0, "edges cold")
        lengths = self._lengths(base, rng)
        most = base + self._width - self._room.after
        low = self._room.before + 4
        places = _Deck(_spread(low, most, _COLD_PLACES, rng), rng)
        found = []
        for repeat in range(self._texts):
            for num in lengths.take(_EACH_COLD):
                place = places.next(num - self._room.after)
                found += [Asked(COLD, num, place, repeat), Asked(AGAIN, num, place, repeat, is_again=True)]
        return found

    def long(self) -> list[Asked]:
        """Prompts as long as there is room for, with needles near the end and near the beginning or in the middle."""
        whole = (self._longest - OWN - self._width) // self._width * self._width
        if whole < self._stem:
            return []
        rng = grid.generator(self._seed, 0, "edges long")
        lengths = self._lengths(whole + OWN, rng)
        late = _Deck(_spread(whole - 48, whole + OWN + self._width - self._room.after, _LATE_PLACES, rng), rng)
        found = []
        for repeat in self._long_repeats():
            found += [
                Asked(f"{LONG} late", num, late.next(num - self._room.after), repeat) for num in lengths.take(_LATE)
            ]
            place = self._room.before + 64 if repeat % 2 == 0 else whole // 2 + 37
            found += [Asked(f"{LONG} early", num, place, repeat) for num in lengths.take(_EARLY)]
        return found

    def at(self, border: Border) -> list[Asked]:
        """Trials around a border of its own; none where there is no room for it."""
        if border.kind == POSITION or border.kind == PERIOD:
            last = self._longest - OWN - NEAR - 48
            place = border.tokens if border.kind == POSITION else last // border.tokens * border.tokens
            return self._around(place, border) if 0 < place <= last and place > self._room.before + 400 else []
        return self._window(border.tokens)

    def _around(self, border: int, own: Border) -> list[Asked]:
        """Prompts that end there, and needles that lie there."""
        rng = grid.generator(self._seed, border, "edges border")
        past = NEAR if own.kind == PERIOD else BEFORE
        ends = [*range(border - BEFORE, border + past + 1), *(border + off for off in (-40, -24, -12, 24, 40))]
        places = [
            border + off for off in (-48, -32, *range(-self._room.needle - 2, BEFORE + 2, 2), -1, 1, 16, 32)
        ]
        lengths = _Deck(range(border + OWN, border + OWN + NEAR), rng)
        found = []
        for repeat in self._long_repeats():
            found += [Asked(f"length {border}", end, border - 200, repeat) for end in ends]
            found += [
                Asked(f"place {border}", num, place, repeat)
                for place, num in zip(places, lengths.take(len(places)), strict=True)
            ]
        return found

    def _window(self, window: int) -> list[Asked]:
        """Needles whose tokens lie around ``window`` tokens before the end: the length moves, the needle stays."""
        found = []
        for turn in range(2):
            # the prompt ends where the answer lies at the border, with as little text of its own as can be
            num = max(self._room.before + self._room.answer + 64 + window, self._stem + OWN + 32) + 24 * turn
            place = num - window - self._room.answer
            if num + 40 > self._longest or place + self._room.after > num - 24:
                return []
            for repeat in self._long_repeats():
                found += [Asked(f"window {window}", num + off, place, repeat) for off in (*range(-6, 7), *_FAR)]
        return found

    def _long_repeats(self) -> range:
        return range(max(2, self._texts // 2))

    def _lengths(self, base: int, rng: np.random.Generator) -> "_Lengths":
        return _Lengths(range(base, base + self._width), self._period, rng)


class _Deck:
    """Values in an order drawn by lot in which every sixteen go through all residues of 16 that there are."""

    def __init__(self, values: Iterable[int], rng: np.random.Generator):
        self._values, self._rng = list(dict.fromkeys(values)), rng
        self._waiting: list[int] = []

    def next(self, most: int | None = None) -> int:
        """The next value of at most ``most``; the smallest where none is."""
        for _ in range(2):
            for number, value in enumerate(self._waiting):
                if most is None or value <= most:
                    return self._waiting.pop(number)
            self._waiting += self._shuffled()
        return min(self._values)

    def take(self, num: int) -> list[int]:
        return [self.next() for _ in range(num)]

    def _shuffled(self) -> list[int]:
        of: dict[int, list[int]] = {}
        for value in self._rng.permutation(self._values).tolist():
            of.setdefault(value % 16, []).append(value)
        order = self._rng.permutation(sorted(of)).tolist()
        longest = max(map(len, of.values()))
        return [of[one][turn] for turn in range(longest) for one in order if turn < len(of[one])]


class _Lengths:
    """Lengths of a zone: of five two lie near a border of ``period``, the others anywhere."""

    def __init__(self, values: range, period: int, rng: np.random.Generator):
        near = [value for value in values if (value + BEFORE) % period <= BEFORE + NEAR]
        self._all, self._near = _Deck(values, rng), _Deck(near if period > NEAR else values, rng)
        self._num = 0

    def take(self, num: int) -> list[int]:
        """The next ones, no two alike."""
        found: dict[int, None] = {}
        while len(found) < num:
            deck = self._near if self._num % 5 < 2 else self._all
            self._num += 1
            found[deck.next()] = None
        return list(found)


def _spread(low: int, high: int, num: int, rng: np.random.Generator) -> list[int]:
    """``num`` places from ``low`` to ``high``, evenly but for a few tokens drawn by lot."""
    step = (high - low) / num
    return [int(low + number * step + rng.integers(max(1, int(step)))) for number in range(num)]
