"""Which replica reads which prompt: a repeat stays on one, and one without work takes over where that ends sooner."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from niah.records import Prompt

_TOKENS_OF_A_STEP = 4
"""A decoded token costs several read ones (as in grid.expected_work)."""
_WORTH_WHILE = 0.9
"""Of the time left: a cut that leaves more than that is not made, since it reads a beginning twice."""


@dataclass(frozen=True)
class Dealt:
    """A prompt and its tokens to compute: ``cost`` after the one before it, ``cold`` without anything cached."""

    key: int
    prompt: Prompt
    cost: int
    cold: int


class Dealer:
    """Deals prompts in their order, taking no more of them than are asked for.

    ``owners`` says which replica has the text of a repeat; the first to ask for a repeat's prompt gets all of them.
    Once there are no new prompts a replica without work takes the end of another's queue.
    """

    def __init__(self, prompts: Iterable[tuple[int, Prompt]], num_replicas: int, owners: dict[int, int]):
        self._new = iter(prompts)
        self._has_new = True
        self._queues: list[deque[Dealt]] = [deque() for _ in range(num_replicas)]
        self._last: list[Prompt | None] = [None] * num_replicas
        self._in_hand = [0] * num_replicas
        self._owners = owners
        self._away: set[int] = set()

    def deal(self, replica: int) -> Dealt | None:
        """The next prompt for a replica; None where the others will end sooner without it."""
        if not self._queues[replica]:
            self._fetch(replica)
        if not self._queues[replica]:
            self._steal(replica)
        if not self._queues[replica]:
            self._in_hand[replica] = 0
            return None
        one = self._queues[replica].popleft()
        self._in_hand[replica] = one.cost
        return one

    def give_back(self, replica: int, work: Iterable[Dealt]) -> None:
        """Puts prompts that a replica did not finish back to the front of its queue, in the order given."""
        self._queues[replica].extendleft(reversed(list(work)))

    def set_away(self, replica: int, is_away: bool) -> None:
        """A replica that is away works on nothing: another may take its whole queue and its repeats."""
        (self._away.add if is_away else self._away.discard)(replica)
        if is_away:
            for repeat in [repeat for repeat, owner in self._owners.items() if owner == replica]:
                del self._owners[repeat]

    @property
    def has_more(self) -> bool:
        """Whether there is, or may be, a prompt that was not dealt."""
        return self._has_new or any(self._queues)

    def _fetch(self, replica: int) -> None:
        """Takes new prompts up to the first that is this replica's; the others go to their owners' queues."""
        for key, prompt in self._new:
            owner = self._owners.setdefault(prompt.repeat, self._next_owner(replica))
            cold = len(prompt.ids) + _TOKENS_OF_A_STEP * prompt.max_tokens
            self._queues[owner].append(Dealt(key, prompt, cold - _shared(self._last[owner], prompt), cold))
            self._last[owner] = prompt
            if owner == replica:
                return
        self._has_new = False

    def _next_owner(self, asking: int) -> int:
        """Who gets a repeat that is new: of those at work the one with the fewest, the asking one before others.

        Were it always the asking one, a faster replica would get several of the repeats that come side by side, and its
        prompts would share no beginnings.
        """
        num = Counter(self._owners.values())
        at_work = [number for number in range(len(self._queues)) if number not in self._away]
        return min(at_work, key=lambda number: (num[number], number != asking), default=asking)

    def _steal(self, replica: int) -> None:
        """Takes the end of the dearest queue from where both parts end soonest, if that is sooner than now."""
        others = [number for number in range(len(self._queues)) if number != replica and self._queues[number]]
        for victim in sorted(others, key=lambda number: (number not in self._away, -self._cost(number))):
            queue = list(self._queues[victim])
            start = 0 if victim in self._away else _cut(queue, self._in_hand[victim])
            if start < len(queue):
                self._queues[victim] = deque(queue[:start])
                self._queues[replica] = deque(queue[start:])
                self._last[replica] = queue[-1].prompt
                return

    def _cost(self, replica: int) -> int:
        return sum(one.cost for one in self._queues[replica])


def _cut(queue: list[Dealt], in_hand: int) -> int:
    """Where to cut so that the later of two replicas ends first, the first having ``in_hand`` to do before;
    the end of the queue where no cut is worth while."""
    rest = sum(one.cost for one in queue)
    best, place, kept = _WORTH_WHILE * (in_hand + rest), len(queue), in_hand
    for number, one in enumerate(queue):
        ends = max(kept, rest - one.cost + one.cold)
        if ends < best:
            best, place = ends, number
        kept, rest = kept + one.cost, rest - one.cost
    return place


def _shared(before: Prompt | None, prompt: Prompt) -> int:
    """Tokens with which both begin; none where a salt keeps a prompt from the cache."""
    if before is None or before.salt or prompt.salt:
        return 0
    num = min(len(before.ids), len(prompt.ids))
    differing = before.ids[:num] != prompt.ids[:num]
    return int(np.argmax(differing)) if differing.any() else num
