"""How a model is served on a machine: what the user asked for, what the plan adds, and vLLM's arguments for it."""

import json
from dataclasses import dataclass, replace
from typing import Any

from niah.errors import NiahError
from niah.planner import backends, cpu, memory
from niah.planner.architecture import Architecture
from niah.planner.hardware import Hardware
from niah.planner.memory import Setup

LONG = 2**20
_LARGE_BLOCK = 64
"""Block size from 1M tokens on: fewer blocks to hash and to list, and every backend that vLLM chooses has it."""


@dataclass(frozen=True)
class Wish:
    """What the user set; 0 and None leave it to the plan. ``chunk`` sets block_size and max_num_batched_tokens."""

    tensor_parallel: int = 0
    pipeline_parallel: int = 0
    decode_context_parallel: int = 1
    chunk: int = 0
    batch: int = 0
    block_size: int = 0
    max_num_seqs: int = 1
    hybrid: bool = True
    prefix_caching: bool = True
    utilization: float = Setup.utilization
    backend: str | None = None
    flash_attn_version: int = 0


def setup(
    architecture: Architecture, hardware: Hardware, wish: Wish, cache_dtype: str, weights: str, longest: int, model: str
) -> Setup:
    """The setup for a run up to ``longest``. Raises NiahError for what cannot be served so."""
    if reason := backends.refusal(architecture, cache_dtype, wish.backend, hardware.capability):
        raise NiahError(reason)
    _check_count(hardware, wish)
    possible = memory.splits(architecture, hardware.num_gpus)
    if wish.tensor_parallel and wish.tensor_parallel not in possible:
        raise NiahError(
            f"engine.tensor_parallel_size: {wish.tensor_parallel} does not divide the heads of model={model}; "
            f"expected one of {', '.join(map(str, possible))}"
        )
    split = wish.tensor_parallel or max(possible)
    _check_sharding(architecture, split, wish.decode_context_parallel, model)
    plain = replace(unplanned(hardware, wish, cache_dtype), tensor_parallel=split, weights=weights)
    if hardware.capability:
        return replace(plain, block_size=plain.block_size or block_for(longest, backends.kind_of(architecture)))
    return plain if wish.chunk else cpu.served(architecture, plain, longest)


def unplanned(hardware: Hardware, wish: Wish, cache_dtype: str) -> Setup:
    """The setup as far as it does not depend on the model: all there is for an architecture that is not known here.

    ``block_size`` 0 leaves it to vLLM.
    """
    on_gpu = bool(hardware.capability)
    return Setup(
        tensor_parallel=wish.tensor_parallel or 1,
        pipeline_parallel=wish.pipeline_parallel or hardware.num_nodes,
        decode_context_parallel=wish.decode_context_parallel,
        cache_dtype=cache_dtype,
        block_size=wish.block_size or wish.chunk or (0 if on_gpu else cpu.CHUNK),
        hybrid=wish.hybrid,
        batch=wish.batch or wish.chunk or (memory.BATCH if on_gpu else cpu.CHUNK),
        steps_in_flight=memory.STEPS_IN_FLIGHT if on_gpu else 1,
        max_num_seqs=wish.max_num_seqs,
        prefix_caching=wish.prefix_caching,
        capability=hardware.capability,
        utilization=wish.utilization,
    )


def block_for(longest: int, kind: str) -> int:
    """Tokens of a block on GPUs: MLA's kernels take 64 only."""
    return _LARGE_BLOCK if longest >= LONG or kind != "heads" else Setup.block_size


def arguments(setup: Setup, max_length: int, wish: Wish = Wish()) -> dict[str, Any]:
    """vLLM's engine arguments for a setup; one max_model_len for all lengths, since models may read it."""
    attention: dict[str, Any] = {}
    if setup.capability and wish.flash_attn_version:
        backend = {"backend": wish.backend} if wish.backend else {}
        attention = {"attention_config": {**backend, "flash_attn_version": wish.flash_attn_version}}
    elif setup.capability and wish.backend:
        attention = {"attention_backend": wish.backend}
    return {
        "max_model_len": max_length,
        "tensor_parallel_size": setup.tensor_parallel,
        "pipeline_parallel_size": setup.pipeline_parallel,
        "decode_context_parallel_size": setup.decode_context_parallel,
        "kv_cache_dtype": setup.cache_dtype,
        **({"block_size": setup.block_size} if setup.block_size else {}),
        "max_num_batched_tokens": setup.batch,
        "max_num_seqs": setup.max_num_seqs,
        "enable_prefix_caching": setup.prefix_caching,
        # by default sliding-window layers forget a prefix until it is seen twice; null keeps all
        "prefix_cache_retention_interval": None,
        "disable_hybrid_kv_cache_manager": not setup.hybrid,
        **({"gpu_memory_utilization": setup.utilization} if setup.capability else {}),
        **attention,
    }


def words(arguments: dict[str, Any]) -> str:
    """Arguments as the words of a command, in one line."""
    plain = {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}
    return " ".join(f"{name}={value}" for name, value in plain.items())


def _check_count(hardware: Hardware, wish: Wish) -> None:
    asked, here = max(1, wish.tensor_parallel) * max(1, wish.pipeline_parallel), hardware.total_gpus
    if asked > here:
        what = f"{here} GPU{'s' if here > 1 else ''}" if hardware.capability else "no GPU, so 1 process,"
        raise NiahError(
            f"engine.tensor_parallel_size: {asked} GPUs asked for (tensor parallel {max(1, wish.tensor_parallel)} x "
            f"pipeline parallel {max(1, wish.pipeline_parallel)}); here: {what} on {hardware.label or hardware}; "
            f"expected at most {here}; 0 takes what is here"
        )


def _check_sharding(architecture: Architecture, split: int, shards: int, model: str) -> None:
    """Decode context parallel, as vLLM 0.32 allows it.

    Source: config/model.py, verify_with_parallel_config, and kv_cache_interface.py.
    """
    if shards == 1:
        return
    where = f"engine.decode_context_parallel_size: got {shards}"
    if others := sorted({layer.kind for layer in architecture.layers} - {"full"}):
        raise NiahError(
            f"{where}; model={model} has {' and '.join(others)} layers, whose cache vLLM cannot shard; expected 1"
        )
    latent = any(layer.latent for layer in architecture.layers)
    heads = 1 if latent else architecture.layers[0].kv_heads
    most = split // heads
    queries = architecture.layers[0].heads // heads
    if shards > most or split % shards or (not latent and queries % shards):
        allowed = [n for n in range(1, max(1, most) + 1) if split % n == 0 and (latent or queries % n == 0)]
        raise NiahError(
            f"{where}; with tensor parallel {split} and {heads} key-value head{'s' if heads > 1 else ''} "
            f"expected one of {', '.join(map(str, allowed))}: it shards what tensor parallelism would only copy"
        )

