"""No model: answers right where every needle lies in the last ``window`` tokens of the prompt.

Its heatmap is a known staircase, so a run of it tests everything but the engine, in a second.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from niah import __version__
from niah.engines import Engine, Job, Session
from niah.limits import limited
from niah.records import Completion, Failure, Outcome, Prompt


@dataclass(frozen=True)
class Fake(Engine):
    """``fail_at`` numbers the requests of a session that fail; ``seconds`` is how long each takes."""

    name: str = "fake"
    window: int = limited(2048, at_least=0, unit="tokens")
    seconds: float = 0.0
    fail_at: list[int] = field(default_factory=list)
    prefix_caching: bool = True
    replicas: int = limited(1, at_least=1, decides=False)

    def open(self, job: Job) -> Session:
        if self.replicas > 1:
            from niah.engines.replicas import start

            return start.opened(self, job)
        return FakeSession(self)


class FakeSession(Session):
    def __init__(self, settings: Fake):
        self.served = {"engine": "fake", "niah": __version__}
        self._settings = settings
        self._num_requests = 0

    def generate(
        self, prompts: Iterable[tuple[int, Prompt]]
    ) -> Iterator[tuple[int, Completion | Failure]]:
        for key, prompt in prompts:
            yield key, self._answer(prompt)

    def _answer(self, prompt: Prompt) -> Completion | Failure:
        time.sleep(self._settings.seconds)
        number = self._num_requests
        self._num_requests += 1
        if number in self._settings.fail_at:
            return Failure(Outcome.ENGINE_ERROR, "engine=fake was asked to fail here", self._settings.seconds)
        visible = len(prompt.ids) - self._settings.window
        # nothing planted: nothing missed
        sees_all = not prompt.num_missing and all(
            start >= visible for start, _ in prompt.spans[: prompt.num_needed]
        )
        text = " ".join(prompt.targets) if sees_all else "I do not know."
        return Completion(
            text, len(text.split()), len(prompt.ids), 0, "stop", self._settings.seconds, self._settings.seconds
        )

    def facts(self) -> dict[str, Any]:
        return {"engine": "fake", "niah": __version__, "window": self._settings.window}
