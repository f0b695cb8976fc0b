"""One side of a decision: what it is asked of each repeat, its rows, and the differences between two sides."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from niah import grid
from niah.commands.budget import Budget
from niah.records import Outcome, Row, Trial
from niah.runs.agenda import Chooser
from niah.runs.history import Cell, cell

_CLEAR = 2.0
"""Standard errors from which a fall of the log-probability says which length is to be asked first."""


@dataclass(frozen=True)
class Plan:
    """Which cells a repeat is asked: all of the grid's, or one, drawn beforehand."""

    lengths: Sequence[int]
    depths: Sequence[float]
    seed: int
    has_all: bool

    def cells(self, repeat: int) -> list[Cell]:
        """Those of a whole repeat."""
        if self.has_all:
            return [(length, depth, repeat) for length in self.lengths for depth in self.depths]
        length, depth = self._drawn(repeat)
        return [(length, depth, repeat)]

    def cells_at(self, length: int, repeat: int) -> list[Cell]:
        """Those of a repeat at one length alone."""
        depths = self.depths if self.has_all else [self._drawn(repeat)[1]]
        return [(length, depth, repeat) for depth in depths]

    def _drawn(self, repeat: int) -> tuple[int, float]:
        drawn = grid.generator(self.seed, repeat, "decide")
        return self.lengths[int(drawn.integers(len(self.lengths)))], self.depths[int(drawn.integers(len(self.depths)))]


class Side:
    """A variant's rows that have an answer, by cell, and the lengths that had no room."""

    def __init__(self, label: str):
        self.label = label
        self.rows: dict[Cell, Row] = {}
        self.no_room: set[int] = set()

    def told(self, row: Row) -> None:
        if row.score is not None:
            self.rows[cell(row)] = row
        elif row.outcome in (Outcome.OUT_OF_MEMORY, Outcome.DOES_NOT_FIT):
            self.no_room.add(row.length)


class Listed(Chooser):
    """Asks a side for cells it has no answer to, until ``is_over``."""

    def __init__(
        self, side: Side, wanted: Sequence[Cell], trials: Sequence[Trial], budget: Budget,
        is_over: Callable[[], bool], share: str = grid.APART,
    ):
        self._side, self._budget, self._is_over = side, budget, is_over
        known = {cell(trial): trial for trial in trials}
        self._wanted = grid.in_running_order([known[one] for one in dict.fromkeys(wanted) if one in known], share)

    def next(self) -> list[Trial]:
        while self._wanted and not (self._budget.is_spent() or self._is_over()):
            trial = self._wanted.pop(0)
            if cell(trial) not in self._side.rows and trial.length not in self._side.no_room:
                return [trial]
        return []

    def tell(self, row: Row) -> None:
        self._side.told(row)
        self._budget.add(row.num_prompt_tokens - (row.num_cached_tokens or 0))

    def resume(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._side.told(row)

    def leave_out(self, lengths: Collection[int]) -> None:
        self._side.no_room.update(lengths)


def differences(a: Side, b: Side, cells: Sequence[Sequence[Cell]]) -> np.ndarray:
    """Mean difference of each repeat whose cells all have both answers, (repeats,): score of ``b`` less that of
    ``a``."""
    found = []
    for own in cells:
        scores = [(a.rows[one].score, b.rows[one].score) for one in own if one in a.rows and one in b.rows]
        if own and len(scores) == len(own):
            found.append(float(np.mean([(after or 0.0) - (before or 0.0) for before, after in scores])))
    return np.array(found)


def hardest(a: Side, b: Side, lengths: Sequence[int]) -> int | None:
    """The length at which the right answer's log-probability falls most clearly from ``a`` to ``b``, None where it
    clearly does so at none, or was not measured."""
    falls: dict[int, list[float]] = {}
    for place in a.rows.keys() & b.rows.keys():
        before, after = a.rows[place].logprob, b.rows[place].logprob
        if before is not None and after is not None:
            falls.setdefault(place[0], []).append(before - after)
    clear: Mapping[int, float] = {
        length: float(np.mean(falls[length]) / (np.std(falls[length], ddof=1) / np.sqrt(len(falls[length])) + 1e-9))
        for length in lengths if len(falls.get(length, ())) > 2
    }
    found = max(clear, key=lambda length: clear[length], default=None)
    return found if found is not None and clear[found] >= _CLEAR else None
