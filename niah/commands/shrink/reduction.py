"""How a failing trial is made smaller while it still fails: a search over shapes that only asks ``fails``.

Delta debugging (Zeller & Hildebrandt 2002, "Simplifying and isolating failure-inducing input") on counts, not on
subsets: each part of a prompt is one number of tokens, lowered by powers of two, the largest first. So a fault that
begins at some size is found with a probe a bit, and what stays keeps its residue as long as it may: a fault at lengths
of 3 mod 4 survives each step of 4 or more. At the end the longest filler is tried 1 to ``PERIOD`` tokens shorter, and
what fails there is gone on with in steps of that many: that finds the other periods. No clock, no chance: the same
answers give the same steps.
"""

from collections.abc import Callable
from dataclasses import replace

from niah.commands.shrink.shape import Shape

PERIOD = 16
"""The longest period of the length that is looked for."""
_ABOVE = 4
"""Lengths above the smallest one that are tried too, to tell a border from a residue."""
_MAX_ROUNDS = 4
Fails = Callable[[Shape, str], bool]
"""Whether a shape still fails; the words say what was changed, for a person."""


class Spent(Exception):
    """Nothing more may be asked."""


class Reduction:
    """``best`` is the smallest shape that failed so far, ``known`` all that were asked, at most ``most``."""

    def __init__(self, start: Shape, fails: Fails, most: int = 1000):
        self.best = start
        self.known: dict[Shape, bool] = {start: True}
        self.is_finished = False
        self._fails, self._most = fails, most

    def run(self, *, has_control: bool = True) -> None:
        """Until nothing gets smaller any more. ``has_control``: a wrong answer to another question, or with fewer
        tokens to answer in, says something, so these may be made smaller too.

        Raises what ``fails`` raises, ``best`` being what it was; Spent where ``most`` have been asked.
        """
        for _ in range(_MAX_ROUNDS):
            before = self.best
            self._earlier()
            self._filler()
            self._plain()
            if has_control:
                self._lower(lambda n: replace(self.best, max_tokens=n), self.best.max_tokens, 1, "answer tokens")
                self._frame()
            if self.best == before:
                break
        self._periods()
        self._above()
        self.is_finished = True

    def around(self) -> list[tuple[int, bool]]:
        """How much longer or shorter (below 0) than ``best`` its neighbours in the longest gap are, and whether they
        fail."""
        number, size = self._longest()
        found = {
            shape.gaps[number] - size: fails for shape, fails in self.known.items()
            if replace(shape, gaps=self.best.gaps) == self.best
            and shape == self.best.with_gap(number, shape.gaps[number])
            and -PERIOD <= shape.gaps[number] - size <= _ABOVE
        }
        return sorted(found.items())

    def _asked(self, shape: Shape, words: str) -> bool:
        if shape not in self.known:
            if len(self.known) > self._most:
                raise Spent(f"{self._most} prompts tried")
            self.known[shape] = self._fails(shape, words)
        return self.known[shape]

    def _takes(self, shape: Shape, words: str) -> bool:
        """Whether it fails too; then it is the best one."""
        if not self._asked(shape, words):
            return False
        self.best = shape
        return True

    def _lower(self, at: Callable[[int], Shape], size: int, floor: int, words: str, unit: int = 1) -> int:
        """The number to which ``at`` can be lowered by multiples of ``unit``: to the floor at once, or by powers of
        two. Two steps in a row make the next one larger again."""
        least = floor + (size - floor) % unit
        if size <= least or self._takes(at(least), f"{words} {size:,} to {least:,}"):
            return min(size, least)
        step, in_a_row = unit, 0
        while size - 2 * step >= least:
            step *= 2
        while step >= unit:
            lower = size - step
            if lower >= least and self._takes(at(lower), f"{words} {size:,} to {lower:,}"):
                size, in_a_row = lower, in_a_row + 1
                if in_a_row == 2:
                    step, in_a_row = 2 * step, 0
            else:
                step, in_a_row = step // (2 * unit) * unit, 0
        return size

    def _gap(self, number: int, unit: int = 1) -> None:
        name = f"filler {number}"
        self._lower(lambda n: self.best.with_gap(number, n), self.best.gaps[number], 0, name, unit)

    def _filler(self) -> None:
        """All of it away at once, else one line repeated and each gap shorter, the longest first; then what is left on
        one side of the needles."""
        gaps = self.best.gaps
        if not any(gaps) or self._takes(replace(self.best, gaps=(0,) * len(gaps)), "no filler"):
            return
        self._plain()
        for number in sorted(range(len(gaps)), key=lambda number: -gaps[number]):
            self._gap(number)
        gaps = self.best.gaps
        if sum(map(bool, gaps)) < 2:
            return
        rest = (0,) * (len(gaps) - 1)
        for moved, words in (((sum(gaps), *rest), "depth: 100%"), ((*rest, sum(gaps)), "depth: 0%")):
            if self._takes(replace(self.best, gaps=moved), words):
                self._gap(moved.index(sum(gaps)))
                return

    def _plain(self) -> None:
        if not self.best.is_plain and any(self.best.gaps):
            self._takes(replace(self.best, is_plain=True), "filler: one line repeated")

    def _frame(self) -> None:
        """What stands before the context and behind it. Filler takes the place of what goes, so that nothing else
        moves: the next round makes that smaller, if it may."""
        shape, last = self.best, len(self.best.gaps) - 1

        def head(n: int) -> Shape:
            return replace(shape, head=n).with_gap(0, shape.gaps[0] + shape.head - n)

        if not self._takes(replace(shape, head=0), "nothing before the context"):
            self._lower(head, shape.head, 0, "before the context")
        shape = self.best

        def tail(n: int) -> Shape:
            return replace(shape, tail=n).with_gap(last, shape.gaps[last] + shape.tail - n)

        if shape.tail > 1 and not self._takes(replace(shape, tail=1), "question: its last token"):
            self._lower(tail, shape.tail, 1, "question")

    def _earlier(self) -> None:
        """The requests before: none, the last ones alone, each of them shorter."""
        num = len(self.best.earlier)
        if not self.best.num_earlier:
            return

        def last(n: int) -> Shape:
            kept, seen = [], 0
            for size in reversed(all_of):
                seen += size > 0
                kept.append(size if seen <= n else 0)
            return replace(self.best, earlier=tuple(reversed(kept)))

        all_of = self.best.earlier
        self._lower(last, self.best.num_earlier, 0, "earlier requests")
        for number in range(num):
            if self.best.earlier[number]:
                self._lower(
                    lambda n, number=number: self.best.with_earlier(number, n),  # type: ignore[misc]
                    self.best.earlier[number], 0, f"earlier request {number}",
                )

    def _longest(self) -> tuple[int, int]:
        """The longest gap, and its size."""
        number = max(range(len(self.best.gaps)), key=lambda number: self.best.gaps[number])
        return number, self.best.gaps[number]

    def _periods(self) -> None:
        unit = 1
        while unit <= PERIOD:
            number, size = self._longest()
            if size < unit:
                return
            lower = size - unit
            if self._takes(self.best.with_gap(number, lower), f"filler {number} {size:,} to {lower:,}"):
                self._gap(number, unit)
                unit = 1
            else:
                unit += 1

    def _above(self) -> None:
        number, size = self._longest()
        for more in range(1, _ABOVE + 1):
            self._asked(self.best.with_gap(number, size + more), f"filler {number} {size:,} to {size + more:,}")
