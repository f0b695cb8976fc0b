"""The search for one variant's effective length: from rows to what is proven, and to the trials to ask next."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from niah import grid
from niah.commands.budget import Budget
from niah.errors import NiahError
from niah.records import Outcome, Row, Trial
from niah.runs.agenda import Chooser
from niah.runs.history import Cell, cell
from niah.stats.effective_length import base_lengths, nolima_ladder
from niah.stats.frontier import Frontier
from niah.stats.psychometric import Surface


@dataclass(frozen=True)
class Step:
    """After a context: tokens computed so far, and how many lengths pass at least and at most."""

    tokens: int
    low: int
    high: int


class Search(Chooser):
    """Contexts of a length come in the order of their repeats, whatever they show. ``has_all``: each is asked at all
    depths; else at one, drawn beforehand. ``frontier`` holds what is known, ``steps`` how it came to be known.

    ``is_of_base``: ``threshold`` is a share of the accuracy at the base lengths (``effective_length.nolima``). What is
    proven is then of x - threshold x base, the base that of the same repeat, which is asked with it: that its mean lies
    above 0, or below, so that the base's own uncertainty is in the claim.
    """

    def __init__(
        self, trials: Sequence[Trial], threshold: float, confidence: float, most: int, seed: int, budget: Budget, *,
        has_all: bool, prefix_caching: bool, is_of_base: bool = False, share: str = grid.APART,
    ):
        every = np.array(sorted({trial.length for trial in trials}))
        self.base = every[base_lengths(every)].tolist() if is_of_base else []
        self.lengths = every[nolima_ladder(every)].tolist() if is_of_base else every.tolist()
        if not self.lengths:
            raise NiahError("frontier.threshold: nolima's ladder begins at 1K; expected longer ctx.lengths")
        self.depths = sorted({trial.depth for trial in trials})
        self.steps: list[Step] = []
        self.tokens = 0
        self._trials: dict[Cell, Trial] = {cell(trial): trial for trial in trials}
        self.threshold = threshold
        self._seed, self._has_all, self._budget, self._share = seed, has_all, budget, share
        costs = [self._cost(length, prefix_caching) for length in self.lengths]
        surface = Surface(self.lengths, self.depths, threshold)
        level = threshold / (1 + threshold) if is_of_base else None
        self.frontier = Frontier(surface, costs, confidence, most, level=level)
        if self.base == self.lengths[:1]:
            self.frontier.is_above[0, 0] = True  # it keeps all of itself
        self._begun: list[int] = [0] * len(self.lengths)
        """Contexts of each length that are asked or under way."""
        self._scores: dict[Cell, float] = {}
        self._told: set[tuple[int, int]] = set()

    def _cost(self, length: int, prefix_caching: bool) -> float:
        """Tokens that a context of this length computes, about."""
        if not self._has_all:
            return float(length)
        ordered = grid.in_running_order([self._trials[length, depth, 0] for depth in self.depths], self._share)
        return float(sum(grid.expected_work(ordered, 0, prefix_caching, share=self._share)))

    def _depths_of(self, repeat: int) -> list[float]:
        if self._has_all:
            return self.depths
        drawn = int(grid.generator(self._seed, repeat, "frontier").integers(len(self.depths)))
        return [self.depths[drawn]]

    def _cells(self, length: int, repeat: int) -> list[Cell]:
        """All that a context of a length is judged by."""
        return [
            (one, depth, repeat) for one in dict.fromkeys((*self.base, length)) for depth in self._depths_of(repeat)
        ]

    def next(self) -> list[Trial]:
        """What is left to ask of one more context."""
        while not self._budget.is_spent():
            place = int(self.frontier.next(np.array([0]))[0])
            if place < 0 or self._begun[place] >= self.frontier.most:
                return []
            repeat = self._begun[place]
            self._begun[place] += 1
            cells = self._cells(self.lengths[place], repeat)
            if due := [self._trials[one] for one in cells if one not in self._scores]:
                return grid.in_running_order(due, self._share)
        return []

    def tell(self, row: Row) -> None:
        """A context counts as soon as all of it is answered."""
        if row.outcome in (Outcome.OUT_OF_MEMORY, Outcome.DOES_NOT_FIT):
            self.frontier.shut[0, [length >= row.length for length in self.lengths]] = True
        if row.score is None or cell(row) not in self._trials:
            return
        computed = row.num_prompt_tokens - (row.num_cached_tokens or 0)
        self._budget.add(computed)
        self.tokens += computed
        self._scores[cell(row)] = row.score
        for place, length in enumerate(self.lengths):
            if row.length == length or row.length in self.base:
                self._judge(place, row.repeat)

    def _judge(self, place: int, repeat: int) -> None:
        """Takes a context in whose cells are all answered, once."""
        length, depths = self.lengths[place], self._depths_of(repeat)
        if (length, repeat) in self._told or not all(one in self._scores for one in self._cells(length, repeat)):
            return
        self._told.add((length, repeat))
        found = [self._scores[length, depth, repeat] for depth in depths]
        scores = np.full((1, len(self.depths)), np.nan)
        scores[0, [self.depths.index(depth) for depth in depths]] = found
        values = None
        if self.base:
            base = float(np.mean([self._scores[one, depth, repeat] for one in self.base for depth in depths]))
            values = np.array([(np.mean(found) - self.threshold * base + self.threshold) / (1 + self.threshold)])
            self._aim()
        self.frontier.tell(np.array([0]), np.array([place]), scores, values)
        low, high = self.frontier.interval()
        self.steps.append(Step(self.tokens, int(low[0]), int(high[0])))

    def _aim(self) -> None:
        """The chooser's threshold is the base's accuracy as it is known by now."""
        base = float(np.mean([score for (length, _, _), score in self._scores.items() if length in self.base]))
        aim = round(max(self.threshold * base, 0.05), 2)
        if aim != self.frontier.surface.threshold:
            self.frontier.surface = Surface(self.lengths, self.depths, aim)

    def resume(self, rows: Sequence[Row]) -> None:
        """They cost nothing now."""
        before = self._budget.spent_tokens
        for row in rows:
            if row.score is not None:
                self.tell(row)
        self._budget.spent_tokens = before

    def leave_out(self, lengths: Collection[int]) -> None:
        self.frontier.shut[0, [length in lengths for length in self.lengths]] = True
