"""An engine that ends while it is asked is opened again: its prompts are lost to nobody, and none ends it for ever."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from niah.engines import Session, noted
from niah.engines.failures import MAX_IN_A_ROW, death
from niah.errors import EngineStoppedError, NiahError, reason
from niah.records import Completion, Failure, Outcome, Prompt

MAX_DEATHS = 2
"""A prompt that was under way when so many engines ended is recorded as failed: alone it is known by then."""
_SUMMED = ("prompt_tokens_sent", "prompt_tokens_counted", "num_not_graded")


class RestartedSession(Session):
    """The session that ``open`` gives, and after an EngineStoppedError the next one.

    What the ended engine left without an answer is asked again, one by one, before what is new. A prompt alone that
    ends an engine out of memory is recorded so at once, for another reason only the second time. An engine that ends
    ``MAX_IN_A_ROW`` times without an answer in between is given up, failures of one that went on counted: that is
    EngineStoppedError, as where it does not open again. Memory that runs out for shorter and shorter prompts does not
    count: that ends by itself. ``say`` is told each time.
    """

    def __init__(self, open: Callable[[], Session], say: Callable[[str], None]):
        self._open = open
        self._say = say
        session = open()
        self._session: Session | None = session
        self._past: list[dict[str, Any]] = []
        self._because: list[str] = []
        self._deaths: Counter[int] = Counter()
        self._in_a_row = 0
        self._in_grading = 0
        self._size_out_of_memory = 0
        self.served, self.retried = session.served, session.retried
        self.counts_exactly, self.can_skip_cache = session.counts_exactly, session.can_skip_cache

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        source = iter(prompts)
        again: deque[tuple[int, Prompt]] = deque()
        while True:
            if self._session is None:
                again.extend(islice(source, 0 if again else 1))
                if not again:
                    return  # nothing to open another engine for
            taken: dict[int, Prompt] = {}
            work = iter([again.popleft()]) if again else source
            is_alone = work is not source
            session = self._session or self._opened_again()
            begun = time.perf_counter()
            try:
                for key, result in session.generate(noted(work, taken)):
                    del taken[key]
                    if isinstance(result, Completion):
                        self._in_a_row = 0
                    elif result.outcome != Outcome.OUT_OF_MEMORY:  # that is the prompt's, and this engine goes on
                        self._in_a_row += 1
                    yield key, result
                    begun = time.perf_counter()
                if not is_alone:
                    return
            except EngineStoppedError as error:
                seconds = error.seconds or time.perf_counter() - begun
                lost = list(taken.items())
                failed = self._failed(lost, error)
                again.extendleft(reversed([one for one in lost if one[0] != failed]))
                if failed is not None:
                    yield failed, death(error, seconds, self._deaths[failed])
                self._ended(error, max((len(prompt.ids) for _, prompt in lost), default=0))

    def _failed(self, lost: list[tuple[int, Prompt]], error: EngineStoppedError) -> int | None:
        """The prompt that is known to have ended the engine."""
        self._deaths.update(key for key, _ in lost)
        if len(lost) != 1:
            return None
        (key, _), = lost
        return key if error.is_out_of_memory or self._deaths[key] >= MAX_DEATHS else None

    def _ended(self, error: EngineStoppedError, size: int) -> None:
        """Closes the engine that ended under prompts of ``size`` tokens at most, 0 for none: the next is opened as soon
        as there is something to ask it.

        Raises EngineStoppedError where that is of no use any more.
        """
        is_shorter = error.is_out_of_memory and 0 < size < (self._size_out_of_memory or size + 1)
        self._size_out_of_memory = size if error.is_out_of_memory else self._size_out_of_memory
        self._in_a_row = 1 if is_shorter else self._in_a_row + (size > 0)
        self._because.append(error.words)
        self._in_grading += error.in_grading
        if self._in_a_row >= MAX_IN_A_ROW:
            raise EngineStoppedError(
                f"the engine ended or failed {self._in_a_row} times in a row; {error}", words=error.words,
                is_out_of_memory=error.is_out_of_memory,
            ) from error
        self._say(f"the engine ended ({error.words})")
        self.close()

    def _opened_again(self) -> Session:
        """The next engine. Raises EngineStoppedError where it does not open."""
        why = self._because[-1] if self._because else "it was closed"
        self._say("it is opened again")
        try:
            session = self._open()
        except NiahError as refusal:
            raise EngineStoppedError(f"the engine ended ({why}) and does not open again: {refusal}") from refusal
        self._session, self.retried = session, session.retried
        if session.served != self.served:
            raise NiahError("the engine that was opened again serves otherwise than the one before; report this")
        if self._in_grading >= MAX_DEATHS:
            self._say("right answers are forced no more: two engines ended in that; the answers have no grade")
            session.stop_grading()
        return session

    def stop_grading(self) -> None:
        self._in_grading = MAX_DEATHS
        if self._session:
            self._session.stop_grading()

    def reading(self) -> tuple[int, int] | None:
        session = self._session
        return session.reading() if session else None

    def facts(self) -> dict[str, Any]:
        """Those of the engine that is open, with the counts of those before it, and how often and why they ended."""
        *past, facts = [*self._past, *([self._session.facts()] if self._session else [])] or [{}]
        summed = {
            name: sum(one[name] for one in (*past, facts)) for name in _SUMMED
            if all(one.get(name) is not None for one in (*past, facts))
        }
        ended = {"num_restarts": len(self._because), "ended_because": self._because} if self._because else {}
        return {**facts, **summed, **ended}

    def close(self) -> None:
        """Ends the engine that is open. What it says while it ends changes nothing that was measured: it is told."""
        if self._session is None:
            return
        ended, self._session = self._session, None
        with suppress(Exception):  # a dead one may not know its counts any more
            self._past.append(ended.facts())
        try:
            ended.close()
        except Exception as error:
            self._say(f"the engine failed while it was closed ({reason(error)}); what was measured is kept")
