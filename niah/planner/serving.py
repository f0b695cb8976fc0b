"""How a model is served on a machine: what the user asked for, what the plan adds, and vLLM's arguments for it."""

import json
from dataclasses import dataclass, replace
from math import lcm
from typing import Any

from niah.errors import NiahError
from niah.planner import attention, cpu, defaults, memory
from niah.planner.architecture import Architecture
from niah.planner.attention import Asked
from niah.planner.backends import BATCH_INVARIANT
from niah.planner.defaults import Load, Split
from niah.planner.hardware import Hardware
from niah.planner.memory import Setup

LONG = 2**20
_LARGE_BLOCK = 64
"""Block size from 1M tokens on, with fewer blocks to hash and to list, and of MLA."""


@dataclass(frozen=True)
class Wish:
    """What the user set; 0 and None leave it to the plan. ``chunk`` sets block_size and max_num_batched_tokens,
    ``cache_bytes`` the KV cache."""

    tensor_parallel: int = 0
    pipeline_parallel: int = 0
    decode_context_parallel: int = 1
    chunk: int = 0
    batch: int = 0
    block_size: int = 0
    max_num_seqs: int = 0
    hybrid: bool = True
    prefix_caching: bool = True
    utilization: float = Setup.utilization
    backend: str | None = None
    flash_attn_version: int = 0
    enforce_eager: bool | None = None
    batch_invariant: bool = False
    cache_bytes: int = 0

    @property
    def asked(self) -> Asked:
        """What of it decides the attention backend."""
        return Asked(self.backend, self.flash_attn_version, self.block_size or self.chunk, self.batch_invariant)


def setup(
    architecture: Architecture, hardware: Hardware, wish: Wish, cache_dtype: str, weights: str, longest: int, model: str
) -> Setup:
    """The setup for a run up to ``longest``. Raises NiahError for what cannot be served so."""
    if reason := attention.refusal(architecture, cache_dtype, hardware.capability, wish.asked):
        raise NiahError(reason)
    if wish.batch_invariant and (reason := _not_invariant(architecture, cache_dtype, wish, hardware.capability)):
        raise NiahError(f"engine.batch_invariant: {reason}")
    _check_count(hardware, wish)
    possible = _possible(architecture, hardware, wish)
    if wish.tensor_parallel and wish.tensor_parallel not in possible:
        raise NiahError(
            f"engine.tensor_parallel_size: {wish.tensor_parallel} does not divide the heads of model={model}; "
            f"expected one of {', '.join(map(str, possible))}"
        )
    plain = replace(unplanned(hardware, wish, cache_dtype), weights=weights)
    if hardware.capability:
        served = attention.choice(architecture, cache_dtype, hardware.capability, wish.asked)
        block_size = plain.block_size or block_for(longest, attention.kind_of(architecture), served.block)
        name = attention.spelled(cache_dtype, architecture, hardware.capability)
        plain = replace(plain, block_size=block_size, attention=served.backends, cache_name=name)
    size = split(architecture, hardware, wish, plain, longest).size
    _check_sharding(architecture, size, wish.decode_context_parallel, model)
    plain = replace(plain, tensor_parallel=size)
    if hardware.capability:  # Blackwell's sparse MLA is chosen by the heads of one GPU
        served = attention.choice(architecture, cache_dtype, hardware.capability, wish.asked, size)
        return replace(plain, attention=served.backends)
    return plain if wish.chunk else cpu.served(architecture, plain, longest)


def split(architecture: Architecture, hardware: Hardware, wish: Wish, plain: Setup, longest: int) -> Split:
    """The GPUs that share each layer: as asked for, all where nodes, stages or a sharded cache are asked for, else the
    plan's choice."""
    if wish.tensor_parallel:
        return Split(wish.tensor_parallel, "as asked for")
    possible = _possible(architecture, hardware, wish)
    if plain.pipeline_parallel > 1 or plain.decode_context_parallel > 1:
        return Split(max(possible), "all that share its heads")
    return defaults.split(architecture, hardware, plain, possible, longest)


def settled(
    architecture: Architecture, hardware: Hardware, wish: Wish, setup: Setup, load: Load, longest: int
) -> Setup:
    """The setup with what follows from the size of a run: prompts at once, and whether the model is compiled. On CPUs
    as it is."""
    if not setup.capability:
        return setup
    if not wish.max_num_seqs:
        number = defaults.prompts_at_once(architecture, hardware, setup, load, longest)
        setup = replace(setup, max_num_seqs=number)
    if wish.enforce_eager is None:
        setup = replace(setup, enforce_eager=defaults.is_eager(architecture, hardware, setup, load))
    return setup


def unplanned(hardware: Hardware, wish: Wish, cache_dtype: str) -> Setup:
    """The setup as far as it does not depend on the model: all there is for an architecture that is not known here.

    ``block_size`` 0 leaves it to vLLM. Raises NiahError for what vLLM has on GPUs alone.
    """
    on_gpu = bool(hardware.capability)
    if wish.batch_invariant and not on_gpu:
        raise NiahError(
            "engine.batch_invariant: vLLM has such kernels on NVIDIA GPUs alone; expected false on CPUs, where one "
            "prompt is in work at a time"
        )
    return Setup(
        tensor_parallel=wish.tensor_parallel or 1,
        pipeline_parallel=wish.pipeline_parallel or hardware.num_nodes,
        decode_context_parallel=wish.decode_context_parallel,
        cache_dtype=cache_dtype,
        cache_name=attention.spelled(cache_dtype, None, hardware.capability),
        block_size=wish.block_size or wish.chunk or (0 if on_gpu else cpu.CHUNK),
        hybrid=wish.hybrid,
        batch=wish.batch or wish.chunk or (memory.BATCH if on_gpu else cpu.CHUNK),
        steps_in_flight=memory.STEPS_IN_FLIGHT if on_gpu else 1,
        max_num_seqs=wish.max_num_seqs or 1,
        prefix_caching=wish.prefix_caching,
        capability=hardware.capability,
        utilization=wish.utilization,
        enforce_eager=wish.enforce_eager,
        batch_invariant=wish.batch_invariant,
        cache_bytes=wish.cache_bytes,
    )


def block_for(longest: int, kind: str, multiple: int) -> int:
    """Tokens of a block on GPUs: ``multiple`` is what the backend that serves asks for; MLA's kernels have 64."""
    return lcm(multiple, _LARGE_BLOCK if longest >= LONG or kind != "heads" else Setup.block_size)


def arguments(setup: Setup, max_length: int, wish: Wish = Wish()) -> dict[str, Any]:
    """vLLM's engine arguments for a setup; one max_model_len for all lengths, since models may read it."""
    named: dict[str, Any] = {}
    if setup.capability and wish.flash_attn_version:
        # a version alone would go unused where vLLM prefers another backend
        own = wish.backend or ("FLASH_ATTN" if setup.attention == ("FLASH_ATTN",) else "")
        backend = {"backend": own} if own else {}
        named = {"attention_config": {**backend, "flash_attn_version": wish.flash_attn_version}}
    elif setup.capability and wish.backend:
        named = {"attention_backend": wish.backend}
    return {
        "max_model_len": max_length,
        "tensor_parallel_size": setup.tensor_parallel,
        "pipeline_parallel_size": setup.pipeline_parallel,
        "decode_context_parallel_size": setup.decode_context_parallel,
        "kv_cache_dtype": setup.cache_name or setup.cache_dtype,
        **({"block_size": setup.block_size} if setup.block_size else {}),
        "max_num_batched_tokens": setup.batch,
        "max_num_seqs": setup.max_num_seqs,
        **({} if setup.enforce_eager is None or not setup.capability else {"enforce_eager": setup.enforce_eager}),
        "enable_prefix_caching": setup.prefix_caching,
        # by default sliding-window layers forget a prefix until it is seen twice; null keeps all
        "prefix_cache_retention_interval": None,
        "disable_hybrid_kv_cache_manager": not setup.hybrid,
        **({"gpu_memory_utilization": setup.utilization} if setup.capability else {}),
        **named,
    }


def words(arguments: dict[str, Any]) -> str:
    """Arguments as the words of a command, in one line."""
    plain = {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}
    return " ".join(f"{name}={value}" for name, value in plain.items())


def _possible(architecture: Architecture, hardware: Hardware, wish: Wish) -> list[int]:
    """Numbers of GPUs of one node that may share each layer, where stages have theirs."""
    stages = wish.pipeline_parallel or hardware.num_nodes
    return memory.splits(architecture, max(1, min(hardware.num_gpus, hardware.total_gpus // stages)))


def _check_count(hardware: Hardware, wish: Wish) -> None:
    asked, here = max(1, wish.tensor_parallel) * max(1, wish.pipeline_parallel), hardware.total_gpus
    if asked > here:
        what = f"{here} GPU{'s' if here > 1 else ''}" if hardware.capability else "no GPU, so 1 process,"
        raise NiahError(
            f"engine.tensor_parallel_size: {asked} GPUs asked for (tensor parallel {max(1, wish.tensor_parallel)} x "
            f"pipeline parallel {max(1, wish.pipeline_parallel)}); here: {what} on {hardware.label or hardware}; "
            f"expected at most {here}; 0 takes what is here"
        )


def _not_invariant(architecture: Architecture, cache_dtype: str, wish: Wish, capability: float) -> str:
    """Why vLLM cannot serve this batch-invariantly, or only with other kernels than are named; empty where it can."""
    if not capability:
        return ""  # refused for every model on CPUs
    if any(layer.kind == "state" for layer in architecture.layers):
        return "vLLM's linear attention is not batch-invariant; expected false, or a model without such layers"
    if wish.flash_attn_version == 4:
        return "FlashAttention 4 is not batch-invariant; expected engine.flash_attn_version=3, or none"
    own = [name for name in attention.serving(architecture, cache_dtype, capability) if name in BATCH_INVARIANT]
    # FlashAttention 4 becomes 2 (fa_utils.py), which has neither heads above 256 nor FP8
    is_large = any(layer.key_width > 256 for layer in architecture.layers if not layer.latent)
    is_old = is_large or (int(capability) == 10 and cache_dtype.startswith("fp8"))
    able = [name for name in own if name != "FLASH_ATTN" or not is_old]
    if not able:
        return f"no batch-invariant attention backend keeps a {cache_dtype} cache of this model here; expected false"
    chosen = wish.backend or own[0]
    if chosen not in able:
        return f"{chosen} is not batch-invariant here; expected engine.attention={' or '.join(map(str.lower, able))}"
    if chosen == "TRITON_MLA" and wish.prefix_caching:
        return "vLLM's TRITON_MLA has no prefix cache then; expected engine.prefix_caching=false with it"
    return ""


def _check_sharding(architecture: Architecture, split: int, shards: int, model: str) -> None:
    """Decode context parallel, as vLLM 0.32 allows it.

    Source: config/model.py, verify_with_parallel_config, and kv_cache_interface.py.
    """
    if shards == 1:
        return
    where = f"engine.decode_context_parallel_size: got {shards}"
    if others := sorted({layer.kind for layer in architecture.layers} - {"full", "feed_forward"}):
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
