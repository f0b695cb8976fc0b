"""An engine in a process of its own, so that two are open at once: vLLM has but one in a process."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from niah.engines import Engine, Job, Session
from niah.errors import EngineStoppedError, NiahError, reason
from niah.records import Completion, Failure, Prompt


class SecondSession(Session):
    """The session that ``engine.open(job)`` gives, in a new process. Raises NiahError where that does not open."""

    def __init__(self, engine: Engine, job: Job):
        context = multiprocessing.get_context("spawn")  # what this process has loaded and set up is not its own
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, engine, job))
        self._process.start()
        other.close()
        self.served, self._facts = self._said()

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        for key, prompt in prompts:
            try:
                self._pipe.send(prompt)
            except OSError as error:
                raise EngineStoppedError("the second engine's process ended; its log says why") from error
            yield key, self._said()

    def _said(self) -> Any:
        """What the process answers. Raises EngineStoppedError where it ended, NiahError with what it raised."""
        try:
            found = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise EngineStoppedError("the second engine's process ended; its log says why") from error
        if isinstance(found, Exception):
            raise found
        return found

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(timeout=60)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(pipe: Connection, engine: Engine, job: Job) -> None:
    """Answers prompts until the other end is closed."""
    session: Session | None = None
    with suppress(EOFError, OSError, KeyboardInterrupt):
        opened = _tried(lambda: engine.open(job))
        session = opened if isinstance(opened, Session) else None
        pipe.send(opened if session is None else (session.served, session.facts()))
        while session:
            pipe.send(_answered(session, pipe.recv()))
    if session:
        session.close()


def _answered(session: Session, prompt: Prompt) -> Any:
    def answer() -> Completion | Failure:
        ((_, result),) = session.generate([(0, prompt)])
        return result

    return _tried(answer)


def _tried(call: Callable[[], Any]) -> Any:
    """What it returns, or its exception as one that can be sent."""
    try:
        return call()
    except Exception as error:
        return NiahError(str(error) if isinstance(error, NiahError) else reason(error))
