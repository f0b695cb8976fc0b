"""The search for one variant's effective length: from rows to what is proven, and to the trials to ask next."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from niah import grid
from niah.commands.budget import Budget
from niah.records import Outcome, Row, Trial
from niah.runs.agenda import Chooser
from niah.runs.history import Cell, cell
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
    depths; else at one, drawn beforehand. ``frontier`` holds what is known, ``steps`` how it came to be known."""

    def __init__(
        self, trials: Sequence[Trial], threshold: float, confidence: float, most: int, seed: int, budget: Budget, *,
        has_all: bool, prefix_caching: bool,
    ):
        self.lengths = sorted({trial.length for trial in trials})
        self.depths = sorted({trial.depth for trial in trials})
        self.steps: list[Step] = []
        self.tokens = 0
        self._trials: dict[Cell, Trial] = {cell(trial): trial for trial in trials}
        self._seed, self._has_all, self._budget = seed, has_all, budget
        costs = [self._cost(length, prefix_caching) for length in self.lengths]
        self.frontier = Frontier(Surface(self.lengths, self.depths, threshold), costs, confidence, most)
        self._begun: list[int] = [0] * len(self.lengths)
        """Contexts of each length that are asked or under way."""
        self._scores: dict[Cell, float] = {}
        self._told: set[tuple[int, int]] = set()
        self._computed: dict[tuple[int, int], int] = {}

    def _cost(self, length: int, prefix_caching: bool) -> float:
        """Tokens that a context of this length computes, about."""
        if not self._has_all:
            return float(length)
        ordered = grid.in_running_order([self._trials[length, depth, 0] for depth in self.depths])
        return float(sum(grid.expected_work(ordered, 0, prefix_caching)))

    def _depths_of(self, repeat: int) -> list[float]:
        if self._has_all:
            return self.depths
        drawn = int(grid.generator(self._seed, repeat, "frontier").integers(len(self.depths)))
        return [self.depths[drawn]]

    def next(self) -> list[Trial]:
        """What is left to ask of one more context."""
        while not self._budget.is_spent():
            place = int(self.frontier.next(np.array([0]))[0])
            if place < 0 or self._begun[place] >= self.frontier.most:
                return []
            length, repeat = self.lengths[place], self._begun[place]
            self._begun[place] += 1
            cells = [(length, depth, repeat) for depth in self._depths_of(repeat)]
            if due := [self._trials[one] for one in cells if one not in self._scores]:
                return grid.in_running_order(due)
        return []

    def tell(self, row: Row) -> None:
        """A context counts as soon as all of it is answered."""
        key = row.length, row.repeat
        if row.outcome in (Outcome.OUT_OF_MEMORY, Outcome.DOES_NOT_FIT):
            self.frontier.shut[0, [length >= row.length for length in self.lengths]] = True
        if row.score is None or cell(row) not in self._trials:
            return
        computed = row.num_prompt_tokens - (row.num_cached_tokens or 0)
        self._budget.spent_tokens += computed
        self._computed[key] = self._computed.get(key, 0) + computed
        self._scores[cell(row)] = row.score
        asked = self._depths_of(row.repeat)
        found = [self._scores.get((row.length, depth, row.repeat)) for depth in asked]
        if key in self._told or None in found:
            return
        self._told.add(key)
        place = self.lengths.index(row.length)
        scores = np.full((1, len(self.depths)), np.nan)
        scores[0, [self.depths.index(depth) for depth in asked]] = found
        self.frontier.tell(np.array([0]), np.array([place]), scores)
        self.tokens += self._computed[key]
        low, high = self.frontier.interval()
        self.steps.append(Step(self.tokens, int(low[0]), int(high[0])))

    def resume(self, rows: Sequence[Row]) -> None:
        """They cost nothing now."""
        before = self._budget.spent_tokens
        for row in rows:
            if row.score is not None:
                self.tell(row)
        self._budget.spent_tokens = before

    def leave_out(self, lengths: Collection[int]) -> None:
        self.frontier.shut[0, [length in lengths for length in self.lengths]] = True
