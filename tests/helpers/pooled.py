"""An engine without a model that has a KV pool of blocks, several prompts in flight, and a fault that strikes under
pressure: ``engine._target_=tests.helpers.pooled.Pooled engine.fault=...``."""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, takewhile

import numpy as np

from niah.engines import Engine, Job, Load, Session
from niah.errors import EngineStoppedError, NiahError
from niah.limits import limited, one_of
from niah.records import Completion, Grade, Prompt

_SMALL = 100
"""Blocks; a pool with fewer has no room for several prompts of the tests."""
FAULTS = ("", "stale", "kept", "rounding", "ends", "restored")
"""What goes wrong in the engine. Empty: nothing. ``stale``: a prompt is answered wrongly if one of its blocks was in
the pool before and has been evicted since. ``kept``: the same, but the engine takes the evicted blocks for hits.
``rounding``: beside other prompts an answer's log-probability moves a little, up or down. ``ends``: the engine ends
where several prompts are in work and the pool is small. ``restored``: a prompt is answered wrongly if blocks of it
come back from the offload memory, as if they were another request's."""


@dataclass(frozen=True)
class Pooled(Engine):
    """A pool of ``num_blocks`` blocks of ``block`` tokens, whose prompts are worked on ``max_num_seqs`` at a time. Of
    those that have no room together all but the first are put off (a preemption). When the pool is full the block that
    was used longest ago is evicted, of one prompt the last block first. With ``has_offload`` evicted blocks are kept in
    another memory, and come back from there when a prompt needs them."""

    name: str = "pooled"
    fault: str = one_of(*FAULTS)
    block: int = limited(16, at_least=1)
    num_blocks: int = limited(1000, at_least=1)
    max_num_seqs: int = limited(1, at_least=1)
    prefix_caching: bool = True
    has_offload: bool = False

    def open(self, job: Job) -> Session:
        return PooledSession(self, job.max_length)

    def under(self, load: Load, batch: int) -> "Pooled":
        if load.offload_gib and self.fault != "restored":
            raise NiahError("this engine has no offload tier")
        return replace(
            self, max_num_seqs=load.at_once, num_blocks=load.num_blocks or self.num_blocks,
            has_offload=load.offload_gib > 0,
        )


class PooledSession(Session):
    def __init__(self, settings: Pooled, max_length: int):
        self.served = {"engine": settings.name, "max_num_seqs": settings.max_num_seqs}
        self._settings, self._max_length = settings, max_length
        self._blocks: OrderedDict[str, None] = OrderedDict()
        """Names of the blocks in the pool, the next to be evicted first."""
        self._gone: set[str] = set()
        self._counted: Counter[str] = Counter(num_preemptions=0, prefix_cache_hits=0, external_prefix_cache_hits=0)

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion]]:
        waiting = iter(prompts)
        while some := list(islice(waiting, self._settings.max_num_seqs)):
            room = self._settings.num_blocks
            if self._settings.fault == "ends" and self._settings.max_num_seqs > 1 and room < _SMALL:
                raise EngineStoppedError("out of blocks")
            for number, (key, prompt) in enumerate(some):
                room -= -(-len(prompt.ids) // self._settings.block)
                self._counted["num_preemptions"] += number > 0 and room < 0
                yield key, self._answer(prompt)

    def _answer(self, prompt: Prompt) -> Completion:
        own, names = self._settings, self._names(prompt)
        num_hit = next((number for number, name in enumerate(names) if name not in self._blocks), len(names))
        is_stale = num_hit < len(names) and names[num_hit] in self._gone
        if own.fault == "kept":
            num_hit = len(list(takewhile(lambda name: name in self._blocks or name in self._gone, names)))
        if own.has_offload:
            num_restored = len(list(takewhile(self._gone.__contains__, names[num_hit:])))
            self._counted["external_prefix_cache_hits"] += num_restored * own.block
            num_hit += num_restored
        cached = min(num_hit * own.block, (len(prompt.ids) - 1) // own.block * own.block)
        self._counted["prefix_cache_hits"] += cached
        self._keep(names)
        is_wrong = is_stale and (own.fault in ("stale", "kept") or (own.fault == "restored" and own.has_offload))
        rng = np.random.default_rng(int(prompt.sha256[:8], 16))
        logprob = -float(rng.exponential(0.2)) - 2.0 * is_wrong
        if own.fault == "rounding" and own.max_num_seqs > 1:
            logprob += float(rng.normal(0, 0.02))
        text = "I do not know." if is_wrong else " ".join(prompt.targets)
        grade = Grade(round(logprob, 4), 7, 1, None, 0.0) if prompt.targets else None
        return Completion(text or "-", 4, len(prompt.ids), cached, "stop", 0.0, 0.0, grade, tuple(text.encode()))

    def _names(self, prompt: Prompt) -> list[str]:
        """Names of the prompt's whole blocks: a hash of the salt and of all tokens up to the block's end."""
        digest, size = hashlib.sha256(prompt.salt.encode()), self._settings.block
        names = []
        for stop in range(size, len(prompt.ids) + 1, size):
            digest.update(prompt.ids[stop - size : stop].tobytes())
            names.append(digest.hexdigest())
        return names

    def _keep(self, names: list[str]) -> None:
        for name in reversed(names):
            self._blocks[name] = None
            self._blocks.move_to_end(name)
        while len(self._blocks) > self._settings.num_blocks:
            self._gone.add(self._blocks.popitem(last=False)[0])

    def counters(self) -> dict[str, int]:
        return dict(self._counted)

    def facts(self) -> dict[str, object]:
        own = self._settings
        return {
            "engine": own.name, "block_size": own.block, "num_kv_blocks": own.num_blocks,
            "max_model_len": self._max_length, "max_num_batched_tokens": 256,
        }
