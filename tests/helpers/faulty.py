"""An engine with a fault planted in real vLLM, in this process: what calibration has to catch and name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from niah.engines import Job
from niah.engines.vllm import VLLM
from niah.engines.vllm.session import VLLMSession

FAULTS = ("block", "positions", "prefill_positions", "scale")


@dataclass(frozen=True)
class Faulty(VLLM):
    """``fault`` is one of FAULTS, or empty; ``block`` the prompt's block that is overwritten; ``scale`` the factor by
    which the cache is written with another scale than it is read with."""

    name: str = "vllm"
    fault: str = ""
    block: int = 8
    scale: float = 0.25

    def open(self, job: Job) -> VLLMSession:
        session = super().open(job)
        assert isinstance(session, VLLMSession)
        layers = session._engine.vllm_config.compilation_config.static_forward_context
        network = session._engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner.model
        if self.fault == "positions":  # a decoded token stands one further than it does
            _shift(network, lambda positions: positions + int(positions.numel() == 1))
        elif self.fault == "prefill_positions":  # each chunk begins one later than it does
            _shift(network, lambda positions: positions + positions // 128)
        for layer in layers.values():
            if self.fault == "block":
                _overwrite(layer.impl, self.block)
            elif self.fault == "scale":
                _rescale(layer.impl, self.scale)
        return session


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
