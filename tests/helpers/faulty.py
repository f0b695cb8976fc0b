"""An engine with a fault planted in real vLLM, in this process: what calibration and edges have to catch and name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from niah.engines import Case, Job
from niah.engines.vllm import VLLM
from niah.engines.vllm.session import VLLMSession

FAULTS = ("block", "positions", "prefill_positions", "scale")
AT_BORDERS = ("length", "first_blocks", "hit", "stale", "partial", "one_scale", "one_layer", "window")
"""Faults that strike at some lengths, places or hits alone, or at one layer."""
UNDER_PRESSURE = ("kept",)
"""Faults that strike in a small pool alone: a block that was driven out is still found by who had it before, with what
is another prompt's by now."""


@dataclass(frozen=True)
class Faulty(VLLM):
    """``fault`` is one of FAULTS, AT_BORDERS or UNDER_PRESSURE, or empty; ``block`` the prompt's block that is
    overwritten; ``scale`` the factor by which the cache is written with another scale than it is read with; ``off``
    the tokens by which a window is too wide."""

    name: str = "vllm"
    fault: str = ""
    block: int = 8
    scale: float = 0.25
    off: int = 0

    def open(self, job: Job) -> VLLMSession:
        session = super().open(self._own(job))
        assert isinstance(session, VLLMSession)
        plant(session._engine, self.fault, self.block, self.scale)
        return session

    def script(self, job: Job, case: Case) -> str:
        """Plain vLLM with the fault planted in it: that line alone is ours."""
        opened = "    llm = LLM(**ENGINE)\n"
        planted = f"    plant(llm.llm_engine, {self.fault!r}, {self.block}, {self.scale})\n"
        return super().script(self._own(job), case).replace(
            opened, f"{opened}    from tests.helpers.faulty import plant\n{planted}"
        )

    def _own(self, job: Job) -> Job:
        """The job with the window that is too wide."""
        if self.fault != "window":
            return job
        window = job.files.config["sliding_window"] + self.off
        return replace(job, arguments={**job.arguments, "hf_overrides": {"sliding_window": window}})


def plant(engine: Any, fault: str, block: int, scale: float) -> None:
    """Puts a fault into an engine of vLLM's that runs in this process."""
    layers = engine.vllm_config.compilation_config.static_forward_context
    network = engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner.model
    if fault == "positions":  # a decoded token stands one further than it does
        _shift(network, lambda positions: positions + int(positions.numel() == 1))
    elif fault == "prefill_positions":  # each chunk begins one later than it does
        _shift(network, lambda positions: positions + positions // 128)
    for layer in layers.values():
        if fault == "block":
            _overwrite(layer.impl, block)
        elif fault == "scale":
            _rescale(layer.impl, scale)
    if fault in UNDER_PRESSURE:
        _keep_driven_out(engine.engine_core.engine_core.scheduler.kv_cache_manager.block_pool)
    if fault in AT_BORDERS:
        _plant(fault, engine, network, [layer.impl for layer in layers.values()], scale)


@dataclass
class _Step:
    """What is in work: a prompt of ``num`` tokens, of which a step computes those from ``start`` to ``stop``;
    ``num_hit`` were in the prefix cache."""

    num: int = 0
    start: int = 0
    stop: int = 0
    num_done: int = 0
    num_hit: int = 0

    @property
    def reads_all(self) -> bool:
        """The prompt's last step, or one of its answer."""
        return self.stop >= self.num


def _plant(fault: str, engine: Any, network: Any, impls: list[Any], scale: float) -> None:
    """A fault of AT_BORDERS."""
    step = _Step()
    if fault == "length":  # the first token is another one
        _turn_logits(network, lambda: step.num % 4 == 3 and step.stop == step.num)
    elif fault == "first_blocks":  # the first two are read as zeros
        for impl in impls:
            _hide(impl, lambda table, size: table[:2] if step.reads_all and step.num % 16 <= 8 else table[:0])
    elif fault == "hit":  # what follows a hit comes out negated where it is 4 to 10 tokens
        for impl in impls:
            _negate(impl, lambda: step.num_done == 1 and step.start > 0 and 4 <= step.num - step.start <= 10)
    elif fault == "stale":  # the last block of a hit is read as zeros
        for impl in impls:
            _hide(impl, lambda table, size: table[step.num_hit // size - 1 : step.num_hit // size])
    elif fault == "partial":  # the last layer does not see the block that the prompt ends in
        _hide(impls[-1], lambda table, size: (
            table[step.num // size : step.num // size + 1] if step.reads_all and step.num % size else table[:0]
        ))
    elif fault == "one_scale":
        _rescale(impls[-1], scale)
    elif fault == "one_layer":  # whatever the cache's dtype
        _divide(impls[len(impls) // 2], scale)
    _watch(engine, impls[0], step)


def _keep_driven_out(pool: Any) -> None:
    """The pool's blocks are found under the hashes that they had before they were given to others."""
    from vllm.v1.core.kv_cache_utils import make_block_hash_with_group_id

    kept: dict[Any, Any] = {}
    remove, find = pool._remove_cached_block_hashes, pool.get_cached_block

    def removed(block: Any) -> Any:
        hashes = remove(block)
        kept.update(dict.fromkeys(hashes, block))
        return hashes

    def found(block_hash: Any, groups: list[int]) -> Any:
        own = find(block_hash, groups)
        old = [kept.get(make_block_hash_with_group_id(block_hash, group)) for group in groups]
        return own if own is not None or None in old else old

    pool._remove_cached_block_hashes, pool.get_cached_block = removed, found


def _watch(engine: Any, first: Any, step: _Step) -> None:
    """Keeps ``step`` of an engine with one prompt in work at a time; ``first`` is the attention of the first layer."""
    ask, own = engine.add_request, first.forward

    def add_request(name: str, tokens: Any, *rest: Any, **named: Any) -> Any:
        step.num, step.num_done, step.num_hit = len(tokens["prompt_token_ids"]), 0, 0
        return ask(name, tokens, *rest, **named)

    def forward(
        layer: Any, query: Any, key: Any, value: Any, kv_cache: Any, attn_metadata: Any, *rest: Any, **named: Any
    ) -> Any:
        if attn_metadata is not None:
            step.stop = int(attn_metadata.seq_lens[0])
            step.start = step.stop - int(attn_metadata.num_actual_tokens)
            step.num_done += 1
            step.num_hit = step.start if step.num_done == 1 else step.num_hit
        return own(layer, query, key, value, kv_cache, attn_metadata, *rest, **named)

    engine.add_request, first.forward = add_request, forward


def _turn_logits(network: Any, strikes: Callable[[], bool]) -> None:
    own = network.compute_logits

    def compute_logits(hidden_states: Any, *rest: Any, **named: Any) -> Any:
        logits = own(hidden_states, *rest, **named)
        return logits.roll(1, -1) if len(hidden_states) == 1 and strikes() else logits

    network.compute_logits = compute_logits


def _hide(impl: Any, blocks: Callable[[Any, int], Any]) -> None:
    """The blocks that are chosen of a prompt's table are zeros for a step, and as they were after it."""
    own = impl.forward

    def forward(
        layer: Any, query: Any, key: Any, value: Any, kv_cache: Any, attn_metadata: Any, *rest: Any, **named: Any
    ) -> Any:
        hidden = () if attn_metadata is None else blocks(attn_metadata.block_table[0], kv_cache.shape[2]).long()
        if not len(hidden):
            return own(layer, query, key, value, kv_cache, attn_metadata, *rest, **named)
        kept = kv_cache[hidden].clone()
        kv_cache[hidden] = 0
        try:
            return own(layer, query, key, value, kv_cache, attn_metadata, *rest, **named)
        finally:
            kv_cache[hidden] = kept

    impl.forward = forward


def _negate(impl: Any, strikes: Callable[[], bool]) -> None:
    own = impl.forward

    def forward(
        layer: Any, query: Any, key: Any, value: Any, kv_cache: Any, attn_metadata: Any, *rest: Any, **named: Any
    ) -> Any:
        found = own(layer, query, key, value, kv_cache, attn_metadata, *rest, **named)
        return found.neg_() if attn_metadata is not None and strikes() else found

    impl.forward = forward


def _shift(network: Any, moved: Callable[[Any], Any]) -> None:
    rotaries = {id(layer.self_attn.rotary_emb): layer.self_attn.rotary_emb for layer in network.model.layers}
    for rotary in rotaries.values():
        own = rotary.forward
        rotary.forward = lambda positions, *rest, own=own: own(moved(positions), *rest)


def _overwrite(impl: Any, block: int) -> None:
    """Zeros over one block of the prompt as soon as it is full."""
    own = impl.forward

    def forward(
        layer: Any, query: Any, key: Any, value: Any, kv_cache: Any, attn_metadata: Any, *rest: Any, **named: Any
    ) -> Any:
        if attn_metadata is not None and int(attn_metadata.seq_lens[0]) > (block + 1) * kv_cache.shape[2]:
            kv_cache[int(attn_metadata.block_table[0, block])] = 0
        return own(layer, query, key, value, kv_cache, attn_metadata, *rest, **named)

    impl.forward = forward


def _rescale(impl: Any, scale: float) -> None:
    """Keys and values go into the cache divided by ``scale`` and come out as they are; only in a quantized cache."""
    own = impl.do_kv_cache_update

    def update(layer: Any, *rest: Any) -> None:
        before = layer._k_scale_float, layer._v_scale_float
        layer._k_scale_float, layer._v_scale_float = scale, scale
        try:
            own(layer, *rest)
        finally:
            layer._k_scale_float, layer._v_scale_float = before

    impl.do_kv_cache_update = update


def _divide(impl: Any, scale: float) -> None:
    """Keys and values go into the cache divided by ``scale``: what a wrong scale does to a quantized one, in any."""
    own = impl.do_kv_cache_update
    impl.do_kv_cache_update = lambda layer, key, value, *rest: own(layer, key / scale, value / scale, *rest)
