"""An engine without a model that has a prefix cache of blocks and a fault at one of its borders, with grades:
``engine._target_=tests.helpers.bordered.Bordered engine.fault=...``."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from niah.engines import Engine, Job, Session
from niah.limits import limited, one_of
from niah.records import Completion, Grade, Prompt

Struck = Callable[["Bordered", int, int, int, int], bool]
FAULTS: dict[str, Struck] = {
    "": lambda engine, num, start, stop, cached: False,
    "length": lambda engine, num, start, stop, cached: num % 4 == 3,
    "first_blocks": lambda engine, num, start, stop, cached: num % 16 <= 8 and start < 2 * engine.block,
    "hit": lambda engine, num, start, stop, cached: bool(cached) and 4 <= num - cached <= 10,
    "partial": lambda engine, num, start, stop, cached: stop > num // engine.block * engine.block,
    "everywhere": lambda engine, num, start, stop, cached: True,
}
"""Whether a fault strikes a prompt of ``num`` tokens whose needle lies at ``start`` to ``stop``, after a hit of
``cached`` tokens."""


@dataclass(frozen=True)
class Bordered(Engine):
    """``is_weak``: the fault lowers the right answer's log-probability by two nats, and changes no answer."""

    name: str = "bordered"
    fault: str = one_of(*FAULTS)
    is_weak: bool = False
    block: int = limited(64, at_least=1)
    prefix_caching: bool = True

    def open(self, job: Job) -> Session:
        return BorderedSession(self)


class BorderedSession(Session):
    def __init__(self, settings: Bordered):
        self.served = {"engine": settings.name}
        self._settings = settings
        self._blocks: set[bytes] = set()

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion]]:
        for key, prompt in prompts:
            yield key, self._answer(prompt)

    def _answer(self, prompt: Prompt) -> Completion:
        own, num = self._settings, len(prompt.ids)
        cached = self._hit(prompt.ids)
        start, stop = prompt.spans[0]
        is_struck = FAULTS[own.fault](own, num, start, stop, cached)
        noise = np.random.default_rng(int.from_bytes(bytes.fromhex(prompt.sha256[:8]))).exponential(0.2)
        forced = len(prompt.forced.ids) if prompt.forced else 0  # graded as vLLM does: from the last whole block on
        is_weaker = FAULTS[own.fault](own, num + forced, start, stop, num // own.block * own.block)
        logprob = -float(noise) - 2.0 * is_weaker
        text = "I do not know." if is_struck and not own.is_weak else prompt.targets[0]
        return Completion(text, 4, num, cached, "stop", 0.0, 0.0, Grade(round(logprob, 4), 7, 1, None, 0.0))

    def _hit(self, ids: np.ndarray) -> int:
        """Tokens found in the cache, whole blocks and never the last token; the prompt is in it from now on."""
        size, digest, hit, is_known = self._settings.block, hashlib.sha256(), 0, True
        for stop in range(size, len(ids) + 1, size):
            digest.update(ids[stop - size : stop].tobytes())
            name = digest.digest()
            is_known &= name in self._blocks
            hit = stop if is_known and stop < len(ids) else hit
            self._blocks.add(name)
        return hit

    def facts(self) -> dict[str, Any]:
        return {"engine": self._settings.name, "block_size": self._settings.block}
