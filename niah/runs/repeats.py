"""Repeats that are chosen while answers come: as many whole ones as a budget allows (``budget=30m``)."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from niah import grid
from niah.config import Run
from niah.errors import NiahError
from niah.records import Outcome, Row, Trial
from niah.runs.agenda import Chooser


def with_repeats(run: Run, most: int) -> Run:
    """The run with as many repeats as may be chosen while answers come."""
    plain = {**run.resolved, "ctx": {**run.resolved["ctx"], "repeats": most}}
    return replace(run, ctx=replace(run.ctx, repeats=most), resolved=plain)


def check_reader(run: Run) -> None:
    """Raises NiahError for a reader whose answers come too late to choose by them."""
    if run.reader.may_read_twice:
        raise NiahError(
            f"reader={run.reader.name}: asks a second time after all first questions, when nothing is left to choose; "
            "expected a reader that asks once"
        )


class Spending(Protocol):
    """What a command may spend."""

    def share(self) -> float:
        """Of it that is spent so far."""
        ...

    def add(self, tokens: int) -> None:
        """Tokens that were computed."""
        ...


class WholeRepeats(Chooser):
    """Asks one repeat after another; the next begins where it would end within the budget, at the pace of the trials so
    far. The first always does.

    ``limit`` is the share of ``budget``, that of all variants together, up to which this one may go. Variants after the
    first ask what the first has: ``first`` is its chooser.
    """

    def __init__(
        self, trials: Sequence[Trial], share: str, budget: Spending, limit: float, first: "WholeRepeats | None" = None
    ):
        self._share, self._budget, self._limit, self._first = share, budget, limit, first
        self._repeats: dict[int, list[Trial]] = {}
        for trial in trials:
            self._repeats.setdefault(trial.repeat, []).append(trial)
        self.asked: list[int] = []
        """Repeats of which a trial was asked, by this command or before."""
        self._done: set[int] = set()
        self._left_out: set[int] = set()
        self._num_sent = self._num_told = 0
        self._begun = 0.0

    def next(self) -> list[Trial]:
        """All that is missing of the next repeat."""
        if not self._num_sent:
            self._begun = self._budget.share()
        for repeat in self._first.asked if self._first else sorted(self._repeats):
            due = [
                one for one in self._repeats[repeat] if one.index not in self._done and one.length not in self._left_out
            ]
            if not due:
                continue
            if not self._has_room(len(due)):
                return []
            self.asked = sorted({*self.asked, repeat})
            self._done.update(one.index for one in due)
            self._num_sent += len(due)
            return grid.in_running_order(due, self._share)
        return []

    def _has_room(self, num: int) -> bool:
        """For ``num`` more trials after those that are under way."""
        if self._first or not self._num_sent:
            return True
        now = self._budget.share()
        pace = (now - self._begun) / max(1, self._num_told)
        return now + (self._num_sent - self._num_told + num) * pace <= self._limit

    def tell(self, row: Row) -> None:
        self._num_told += 1
        self._budget.add(row.num_prompt_tokens - (row.num_cached_tokens or 0))

    def resume(self, rows: Sequence[Row]) -> None:
        self._done.update(row.trial for row in rows if row.score is not None or row.outcome == Outcome.DOES_NOT_FIT)
        self.asked = sorted({row.repeat for row in rows} & self._repeats.keys())

    def leave_out(self, lengths: Collection[int]) -> None:
        self._left_out.update(lengths)
