"""Many replicas as one session: prompts out, results in as they come, a dead replica's prompts to the others."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from niah.engines import Session
from niah.engines.failures import ENDED_BY_IT
from niah.engines.replicas.dealer import Dealer, Dealt
from niah.engines.replicas.replica import Opened
from niah.engines.restart import MAX_DEATHS
from niah.errors import NiahError, reason
from niah.records import Completion, Failure, Outcome, Prompt

MAX_RESTARTS = 3
_HEAD_EVERY_SECONDS, _HEAD_MISSES = 10, 3
"""Ray ends a process without a word that has not reached the cluster's head for a minute: this finds out before."""
_SUMMED = ("prompt_tokens_sent", "prompt_tokens_counted", "num_not_graded")
_OF_EACH = ("start_seconds", "num_restarts", *_SUMMED)


@dataclass
class Running:
    """A replica as the run knows it. ``call`` is what it does now, ``unfinished`` the prompts of that call;
    ``opened`` is what it said of itself last, None before it did."""

    number: int
    actor: Any
    reopen: Callable[[], Any]
    call: Any = None
    is_open: bool = False
    is_gone: bool = False
    unfinished: dict[int, Dealt] = field(default_factory=dict)
    opened: Opened | None = None
    num_answered: int = 0
    num_deaths: int = 0


class ReplicatedSession(Session):
    """``served`` is that of every replica: other machines or versions among them are refused. Each has ``num_at_once``
    prompts in work."""

    def __init__(self, ray: Any, replicas: list[Running], num_at_once: int, has_started: bool):
        self._ray = ray
        self._head: str = ray.get_runtime_context().gcs_address
        self._head_asked, self._head_misses = time.monotonic(), 0
        self._replicas = replicas
        self._has_started = has_started
        # an engine that reads several prompts at once needs more of them at hand than it reads
        self._batch = 1 if num_at_once == 1 else 4 * num_at_once
        self._owners: dict[int, int] = {}
        self._deaths: Counter[int] = Counter()
        self._start_seconds = 0.0
        self._refusal = ""
        self.served: dict[str, Any] = {}

    def open(self, begun: float) -> None:
        """Waits for all replicas. Raises NiahError where one does not start or differs from the others."""
        for replica in self._replicas:
            replica.call = replica.reopen()
        for replica in self._replicas:
            try:
                self._take_opened(replica)
            except self._ray.exceptions.RayError as error:
                why = reason(self._cause(error))
                raise NiahError(f"engine.replicas: replica {replica.number} did not start; {why}") from error
            if not self.served and replica.opened:
                self.served = replica.opened.served
        self._start_seconds = time.perf_counter() - begun

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        dealer = Dealer(prompts, len(self._replicas), self._owners)
        for replica in self._replicas:
            dealer.set_away(replica.number, not replica.is_open)
            if not (replica.is_open or replica.is_gone or replica.call):
                replica.call = replica.reopen()
        while True:
            for replica in self._replicas:
                if replica.is_open and replica.call is None:
                    self._send(replica, dealer)
            busy = {replica.call: replica for replica in self._replicas if replica.call is not None}
            if not dealer.has_more and not any(replica.unfinished for replica in self._replicas):
                return  # one that is still starting would have nothing to do
            if not busy:
                raise NiahError(
                    f"engine.replicas: all {len(self._replicas)} died{f' ({self._refusal})' if self._refusal else ''}; "
                    "the same command continues where this run stopped"
                )
            ready, _ = self._ray.wait(list(busy), num_returns=1, timeout=_HEAD_EVERY_SECONDS)
            self._check_head()
            for call in ready:
                yield from self._next(busy[call], dealer)

    def _check_head(self) -> None:
        """Raises NiahError where the cluster's head has not been there for some time."""
        if time.monotonic() < self._head_asked + _HEAD_EVERY_SECONDS:
            return
        self._head_asked = time.monotonic()
        self._head_misses = self._head_misses + 1 if why_silent(self._head, seconds=3) else 0
        if self._head_misses >= _HEAD_MISSES:
            raise NiahError(
                f"engine.replicas: the head of the Ray cluster ({self._head}) is gone; finished trials are kept, the "
                "same command continues on a cluster that runs (RAY_ADDRESS) or without one"
            )

    def _send(self, replica: Running, dealer: Dealer) -> None:
        batch: list[Dealt] = []
        while len(batch) < self._batch and (one := dealer.deal(replica.number)):
            if batch and self._deaths[one.key]:  # it may have been this one that ended a replica: it goes alone
                dealer.give_back(replica.number, [one])
                break
            batch.append(one)
            if self._deaths[one.key]:
                break
        if batch:
            replica.unfinished = {one.key: one for one in batch}
            replica.call = replica.actor.answer.remote([(one.key, one.prompt) for one in batch])

    def _next(self, replica: Running, dealer: Dealer) -> Iterator[tuple[int, Completion | Failure]]:
        """What a replica's call has come to: opened, a result, its end, or the replica's."""
        try:
            if not replica.is_open:
                self._take_back(replica, dealer)
                return
            key, result = self._ray.get(next(replica.call))
        except StopIteration:
            replica.call = None
        except NiahError as error:
            raise NiahError(str(self._cause(error))) from error
        except self._ray.exceptions.RayError as error:
            yield from self._lost(replica, dealer, error)
        else:
            del replica.unfinished[key]
            replica.num_answered += 1
            yield key, result

    def _take_back(self, replica: Running, dealer: Dealer) -> None:
        """One that was started again; where it does not start the others do its work."""
        try:
            self._take_opened(replica)
        except NiahError as error:
            replica.is_gone, replica.call, self._refusal = True, None, str(error)
        else:
            dealer.set_away(replica.number, False)

    def _take_opened(self, replica: Running) -> None:
        """Raises NiahError where it did not start, or other software or hardware answers there than on the first."""
        try:
            opened: Opened = self._ray.get(replica.call)
        except NiahError as error:
            raise NiahError(str(self._cause(error))) from error
        first = self.served or opened.served
        if opened.served != first:
            others = {name: value for name, value in opened.served.items() if first.get(name) != value}
            differing = ", ".join(f"{name} {first.get(name)!r}, {value!r}" for name, value in others.items())
            raise NiahError(
                f"engine.replicas: replica {replica.number} on {opened.node} serves otherwise than the first: "
                f"{differing}; expected machines and versions alike, or answers would be of two engines"
            )
        replica.opened, replica.is_open, replica.call = opened, True, None

    def _cause(self, error: Exception) -> BaseException:
        """What was raised in the replica's process, where it was raised there."""
        return error.cause if isinstance(error, self._ray.exceptions.RayTaskError) else error

    def _lost(self, replica: Running, dealer: Dealer, error: Exception) -> Iterator[tuple[int, Failure]]:
        """Its unfinished prompts go back; the process is started again as long as Ray does so."""
        replica.num_deaths += 1
        replica.is_open = False
        replica.is_gone = replica.num_deaths > MAX_RESTARTS
        replica.call = None if replica.is_gone else replica.reopen()
        unfinished, replica.unfinished = list(replica.unfinished.values()), {}
        self._deaths.update(one.key for one in unfinished)
        dealer.give_back(replica.number, [one for one in unfinished if self._deaths[one.key] < MAX_DEATHS])
        dealer.set_away(replica.number, True)
        for one in unfinished:
            if self._deaths[one.key] >= MAX_DEATHS:
                why = f"ended {MAX_DEATHS} replicas, see engine.{replica.number}.log; {reason(self._cause(error))}"
                yield one.key, Failure(Outcome.ENGINE_ERROR, why[:500], 0.0, ENDED_BY_IT)

    def facts(self) -> dict[str, Any]:
        """The first replica's, with sums of the counts; ``replicas`` has what differs."""
        for replica in self._replicas:
            if replica.is_open and replica.opened and not replica.unfinished:
                try:
                    facts = self._ray.get(replica.actor.facts.remote(), timeout=60)
                except self._ray.exceptions.RayError:
                    replica.is_open = False  # what it said last stays; the next prompts find out more
                else:
                    replica.opened = replace(replica.opened, facts=facts)
        known = [(replica, replica.opened) for replica in self._replicas if replica.opened]
        each = [opened.facts for _, opened in known]
        counted = [name for name in _SUMMED if all(facts.get(name) is not None for facts in each)]
        return {
            **each[0], **{name: sum(facts[name] for facts in each) for name in counted},
            "start_seconds": round(self._start_seconds, 3), "num_replicas": len(each),
            "replicas": [
                {
                    "node": opened.node, "pid": opened.pid, "num_answered": replica.num_answered,
                    "num_deaths": replica.num_deaths, "is_gone": replica.is_gone,
                    **{name: opened.facts[name] for name in _OF_EACH if name in opened.facts},
                }
                for replica, opened in known
            ],
        }

    def close(self) -> None:
        """Ends all replicas, and Ray where it was started for them; those that are at work are not waited for."""
        if self._head_misses >= _HEAD_MISSES:
            return  # nobody is left to ask; the nodes end what they run without a head
        idle = [replica for replica in self._replicas if replica.is_open and not replica.unfinished]
        closing = [replica.actor.close.remote() for replica in idle]
        self._ray.wait(closing, num_returns=len(closing), timeout=30) if closing else None
        for replica in self._replicas:
            self._ray.kill(replica.actor)
        if self._has_started:
            self._ray.shutdown()


def why_silent(address: str, seconds: float) -> str:
    """Why nothing answers at HOST:PORT; empty where something does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=seconds).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""
