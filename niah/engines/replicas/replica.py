"""One replica: an engine in a process of its own, asked from another."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from niah import terminal
from niah.engines import Engine, Job, Session, processes
from niah.engines.failures import MAX_IN_A_ROW
from niah.engines.restart import RestartedSession
from niah.errors import EngineStoppedError, NiahError
from niah.records import Completion, Failure, Outcome, Prompt


@dataclass(frozen=True)
class Opened:
    """An open replica: its session's ``served`` and ``facts``, its machine's name and its process."""

    served: dict[str, Any]
    facts: dict[str, Any]
    node: str
    pid: int


class Replica:
    """Lives in a Ray actor; knows nothing of Ray. A process that is started again is opened again."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._watch = ExitStack()
        self._failures_in_a_row = 0

    def ping(self) -> None:
        """Answers as soon as the process has its place."""

    def open(self, engine: Engine, job: Job, number: int, cores: Sequence[int]) -> Opened:
        """Opens the engine on ``cores`` (empty: wherever the system puts it).

        What the engine prints goes beside the run's own log, as engine.NUMBER.log; on a machine without that folder to
        a temporary one.
        """
        if cores:
            os.sched_setaffinity(0, cores)
        if job.log is not None:
            folder = job.log.parent if job.log.parent.is_dir() else Path(tempfile.mkdtemp(prefix="niah-"))
            log = folder / f"{job.log.stem}.{number}.log"
            job = replace(job, log=log)
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os.close(file)
        if self._session is None:
            if engine.holds_a_model:
                self._watch.enter_context(processes.watched(job.log.parent if job.log else Path.cwd()))
            self._session = RestartedSession(lambda: engine.open(job), _say)
        return Opened(self._session.served, self._session.facts(), os.uname().nodename, os.getpid())

    def answer(self, prompts: Sequence[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        """Each result as soon as it is there.

        Failures wait for what follows: where the engine stops, its last requests did not fail but were never answered.
        An engine that fails ``MAX_IN_A_ROW`` times, over calls too, is as one that stopped.
        """
        failures: list[tuple[int, Failure]] = []
        session = self._opened()
        try:
            for key, result in session.generate(iter(prompts)):
                if isinstance(result, Failure):
                    self._failures_in_a_row += result.outcome != Outcome.OUT_OF_MEMORY  # that is the prompt's
                    if self._failures_in_a_row >= MAX_IN_A_ROW:
                        _end(f"{self._failures_in_a_row} failures in a row; {result.message}")
                    failures.append((key, result))
                    continue
                self._failures_in_a_row = 0
                yield from failures
                failures = []
                yield key, result
        except EngineStoppedError as error:
            _end(str(error))
        yield from failures

    def facts(self) -> dict[str, Any]:
        """Those of its engine now."""
        return self._opened().facts()

    def _opened(self) -> Session:
        if self._session is None:
            raise NiahError("engine.replicas: a replica was asked before it was opened; report this")
        return self._session

    def close(self) -> None:
        """Frees what the engine holds."""
        if self._session is not None:
            self._session.close()
            self._session = None
            self._watch.close()


def _end(why: str) -> None:
    """Ends this process with all that is left of its engine; whoever asked starts it again."""
    _say(why)
    os._exit(1)


def _say(line: str) -> None:
    """Into the replica's log."""
    terminal.note(f"niah: {line}")
