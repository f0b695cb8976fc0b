"""In which order prompts are sent under a condition, what is sent beside them, and what that session had to tell."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from niah.engines import Session
from niah.records import Completion, Failure, Prompt

Sent = tuple[int | None, Prompt]
"""A prompt with the key of its trial; None: it is sent for what it leaves in the cache."""
Order = Callable[[Iterable[tuple[int, Prompt]]], Iterator[Sent]]
_TOGETHER = 2
"""So many prompts are sent before the first of them is asked again: in a pool for 1.5 each drives out half of one."""


def apart(prompts: Iterable[tuple[int, Prompt]]) -> Iterator[Sent]:
    """Each once; no two share anything in the prefix cache."""
    yield from prompts


def again(prompts: Iterable[tuple[int, Prompt]]) -> Iterator[Sent]:
    """Each right behind itself."""
    for key, prompt in prompts:
        yield None, _plain(prompt)
        yield key, prompt


def behind_others(prompts: Iterable[tuple[int, Prompt]]) -> Iterator[Sent]:
    """Each behind another prompt that begins like it and goes on otherwise: from a quarter to three quarters of it on,
    at any residue of a block."""
    for key, prompt in prompts:
        num = len(prompt.ids)
        cut = num // 4 + int(prompt.sha256[:8], 16) % max(1, num // 2)
        other = np.concatenate([prompt.ids[:cut], prompt.ids[cut:][::-1]])
        yield None, replace(_plain(prompt), ids=other, spans=())
        yield key, prompt


def after_eviction(prompts: Iterable[tuple[int, Prompt]]) -> Iterator[Sent]:
    """Two, then the same two again: in a small pool each has driven out a part of the other."""
    waiting = iter(prompts)
    while some := list(islice(waiting, _TOGETHER)):
        yield from ((None, _plain(prompt)) for _, prompt in some)
        yield from some


def _plain(prompt: Prompt) -> Prompt:
    """The same for its prefill alone: not graded, one token."""
    return replace(prompt, forced=None, targets=(), max_tokens=1)


@dataclass
class Told:
    """What one condition had to tell beside its rows: ids of each trial's answer, the right answer's log-probability
    where it was asked again at once (nats, by trial), the engine's counters, the most prompts that were in flight."""

    ids: dict[int, tuple[int, ...]] = field(default_factory=dict)
    twice: dict[int, float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    at_once: int = 0

    def add(self, other: "Told") -> None:
        """What another session of the same condition had to tell."""
        self.ids |= other.ids
        self.twice |= other.twice
        for name, value in other.counters.items():
            self.counters[name] = self.counters.get(name, 0) + value
        self.at_once = max(self.at_once, other.at_once)


class PressedSession(Session):
    """An open engine that is sent prompts in an ``order``, each with a cache salt of its own. With ``is_twice`` every
    prompt is asked once more, with another salt, for ``told``."""

    def __init__(self, session: Session, name: str, order: Order, told: Told, *, is_twice: bool):
        self.served, self.retried = session.served, session.retried
        self.counts_exactly, self.can_skip_cache = session.counts_exactly, session.can_skip_cache
        self._session, self._order, self._told, self._is_twice = session, order, told, is_twice
        self._salt = f"niah-{name}-{secrets.token_hex(4)}"  # a server may remember the same command

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        before = self._session.counters()
        keys: dict[int, tuple[int, bool]] = {}
        """Of what is in flight: the trial (-1: none), and whether it is asked the second time."""
        salted = ((key, self._salted(prompt, "")) for key, prompt in prompts)

        def sent() -> Iterator[tuple[int, Prompt]]:
            number = 0
            for key, prompt in self._order(salted):
                own = -1 if key is None else key
                for is_second in (False, True)[: 1 + (self._is_twice and key is not None)]:
                    number += 1
                    keys[number] = own, is_second
                    self._told.at_once = max(self._told.at_once, len(keys))
                    yield number, self._salted(prompt, "-again") if is_second else prompt

        try:
            for number, result in self._session.generate(sent()):
                key, is_second = keys.pop(number)
                grade = result.grade if isinstance(result, Completion) else None
                if key >= 0 and is_second and grade:
                    self._told.twice[key] = round(grade.logprob, 6)
                elif key >= 0 and not is_second:
                    if isinstance(result, Completion):
                        self._told.ids[key] = result.ids
                    yield key, result
        finally:
            self._count(before)

    def reading(self) -> tuple[int, int] | None:
        return self._session.reading()

    def _salted(self, prompt: Prompt, more: str) -> Prompt:
        return replace(prompt, salt=f"{self._salt}-{prompt.sha256[:16]}{more}") if self.can_skip_cache else prompt

    def _count(self, before: dict[str, int]) -> None:
        try:
            now = self._session.counters()
        except Exception:  # an engine that has ended: what it counted is lost, what it answered is not
            return
        self._told.add(Told(counters={name: value - before.get(name, 0) for name, value in now.items()}))

    def stop_grading(self) -> None:
        self._session.stop_grading()

    def facts(self) -> dict[str, object]:
        return self._session.facts()

    def counters(self) -> dict[str, int]:
        return self._session.counters()

    def close(self) -> None:
        self._session.close()
