"""vLLM whose progress within prompts is written down: ``engine._target_=tests.helpers.watched.Watched``."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from niah.engines import Job
from niah.engines.vllm import VLLM
from niah.engines.vllm.session import VLLMSession
from niah.records import Completion, Failure, Prompt

PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Watched(VLLM):
    name: str = "vllm"
    told: str = "told.txt"

    def open(self, job: Job) -> VLLMSession:
        session = super().open(job)
        assert isinstance(session, VLLMSession)
        generate, file = session.generate, Path(self.told)

        def watched(prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
            over = threading.Event()

            def watch() -> None:
                with file.open("a") as told:
                    while not over.wait(PAUSE_SECONDS):
                        if (found := session.reading()) is not None:
                            print(*found, file=told, flush=True)

            thread = threading.Thread(target=watch)
            thread.start()
            try:
                yield from generate(prompts)
            finally:
                over.set()
                thread.join()

        session.generate = watched  # type: ignore[method-assign]
        return session
