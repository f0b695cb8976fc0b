"""The trials that are still to be sent, in an order that changes when memory runs out."""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence

from niah.records import Row, Trial

MAX_OUT_OF_MEMORY = 2
"""So many trials out of memory, and none as large answered: the rest of that size has no room, and is not sent."""


class Chooser(ABC):
    """Chooses the trials of one variant while they are answered (``frontier``)."""

    @abstractmethod
    def next(self) -> Sequence[Trial]:
        """The trials to send next, none where nothing is left to ask. Others may be under way, not told yet."""

    @abstractmethod
    def tell(self, row: Row) -> None:
        """A row of the variant that has just been written."""

    @abstractmethod
    def resume(self, rows: Sequence[Row]) -> None:
        """The rows of the variant that are there from before."""

    @abstractmethod
    def leave_out(self, lengths: Collection[int]) -> None:
        """There is no room for these."""


Arranged = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Gives trials of one repeat another order."""


class Agenda:
    """Gives out trials one by one. ``size`` are the tokens that a model reads of a length, ``before`` the trials by
    length that ran out of memory under an earlier command.

    An engine that ends has to be opened again, which is not done for each trial of a length: the first that ends it
    puts off all as large until the smaller ones are done; the second that runs out of memory leaves the others out.
    A ``chooser`` adds trials whenever none is waiting. ``arranged`` gives those of a repeat that is begun an order of
    their own, but for those ``kept`` where they are.
    """

    def __init__(
        self, ordered: Iterable[Trial], size: Callable[[int], int], before: Mapping[int, int],
        answered: Iterable[int] = (), chooser: Chooser | None = None, arranged: Arranged | None = None,
        kept: Container[int] = (),
    ):
        self._waiting = deque(ordered)
        self._chooser = chooser
        self._arranged, self._kept, self._begun = arranged, kept, set[int]()
        self._size = size
        self._failed: Counter[int] = Counter()
        for length, num in before.items():
            self._failed[size(length)] += num
        self._answered = max(map(size, answered), default=0)

    def __iter__(self) -> Iterator[Trial]:
        while True:
            if not self._waiting and self._chooser:
                self._waiting.extend(self._chooser.next())
            if not self._waiting:
                return
            self._begin(self._waiting[0].repeat)
            yield self._waiting.popleft()

    def _begin(self, repeat: int) -> None:
        """Arranges the trials of a repeat before the first of them is given out, in the places that they have."""
        if self._arranged is None or repeat in self._begun:
            return
        self._begun.add(repeat)
        waiting = list(self._waiting)
        places = [
            place for place, one in enumerate(waiting) if one.repeat == repeat and one.index not in self._kept
        ]
        for place, trial in zip(places, self._arranged([waiting[place] for place in places]), strict=True):
            waiting[place] = trial
        self._waiting = deque(waiting)

    def answered(self, trial: Trial) -> None:
        """A trial of that length has room."""
        self._answered = max(self._answered, self._size(trial.length))

    def out_of_memory(self, trial: Trial) -> None:
        """A trial of that length has none."""
        self._failed[self._size(trial.length)] += 1
        self.put_off(trial)

    def put_off(self, trial: Trial) -> None:
        """Trials as large as this one come last, the shortest of them first; none is arranged any more."""
        self._arranged = None
        size = self._size(trial.length)
        smaller = [one for one in self._waiting if self._size(one.length) < size]
        others = [one for one in self._waiting if self._size(one.length) >= size]
        self._waiting = deque([*smaller, *sorted(others, key=lambda one: self._size(one.length))])

    def without_room(self) -> list[Trial]:
        """Takes out trials for which two others, as large or smaller, had no room, where none as large was answered."""
        limit, num = None, 0
        for size in sorted(self._failed):
            num += self._failed[size] if size > self._answered else 0
            if num >= MAX_OUT_OF_MEMORY:
                limit = size
                break
        if limit is None:
            return []
        left_out = [one for one in self._waiting if self._size(one.length) >= limit]
        self._waiting = deque(one for one in self._waiting if self._size(one.length) < limit)
        return left_out
