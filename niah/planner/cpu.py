"""The plan without a GPU: how vLLM serves a model on CPUs, and how much KV cache a run asks for there."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from niah import environment
from niah.planner import architecture, memory
from niah.planner.architecture import Architecture
from niah.planner.memory import Setup

CHUNK = 128
"""Tokens of a step and of a block: alike, so that cached and cold prompts compute the same."""
_LATENT_BLOCK, _LATENT_BATCH = 16, 2048
LEAST_CACHE_BYTES = 2**26
_OWN = {"bfloat16": "bf16", "float16": "f16", "float32": "fp32"}
"""What a cache may be that is no other type than the model's, and its file in conf/kv/."""


def served(shape: Architecture, base: Setup, max_length: int) -> Setup:
    """How a model is served: blocks of 128 tokens, one of them a step.

    Latent attention (MLA) is read whole, in blocks of 16 and without prefix caching, where the processor has
    no AMX (vLLM 0.32, platforms/cpu.py).
    """
    setup = replace(base, batch=CHUNK, block_size=CHUNK, steps_in_flight=1)
    if any(layer.latent for layer in shape.layers):
        return replace(setup, batch=max(max_length, _LATENT_BATCH), block_size=_LATENT_BLOCK, prefix_caching=False)
    return setup


def refusal(model_dtype: str, cache_dtype: str) -> str:
    """One line where vLLM keeps no such cache on this processor; else empty.

    FP8 needs AVX-512 or AMX (v1/attention/backends/cpu_attn.py, _get_attn_isa). Anything else is written in the model's
    own type whatever the cache's (csrc/cpu/cpu_attn.cpp takes the type of the keys), so that float32 goes past the end
    of a bfloat16 cache, over other memory, and float16 in one would stand in the rows under another name.
    """
    if cache_dtype.startswith("fp8"):
        if environment.has_avx512():
            return ""
        return (
            f"kv.dtype: vLLM keeps {cache_dtype} on processors with AVX-512 or AMX alone; this one "
            f"({environment.cpu()}) has neither; expected kv=bf16, a GPU, or engine=transformers"
        )
    if cache_dtype in _OWN and cache_dtype != model_dtype:
        return (
            f"kv.dtype: vLLM's kernels for processors write the cache in the model's own type; got {cache_dtype} with "
            f"model.dtype={model_dtype}; expected kv={_OWN.get(model_dtype, 'bf16')}, or "
            f"model.dtype={cache_dtype}"
        )
    return ""


def cache_bytes(
    config: Mapping[str, Any], max_length: int, kv_cache_dtype: str, share: float = 1.0,
    draft: Mapping[str, Any] | None = None,
) -> int:
    """KV cache of a run: room for two of its longest prompts, in the layers of ``draft``, a config.json, too.

    Two, because trials share the beginnings of their prompts: one prompt being read, one kept. At most 60% of this
    engine's ``share`` of the free memory, at least 64 MiB.
    """
    import psutil

    wanted = 2 * sum(_of_one_prompt(one, max_length, kv_cache_dtype) for one in (config, draft) if one)
    return max(LEAST_CACHE_BYTES, min(wanted, int(0.6 * share * psutil.virtual_memory().available)))


def _of_one_prompt(config: Mapping[str, Any], max_length: int, kv_cache_dtype: str) -> int:
    """Bytes of the longest prompt; for architectures and dtypes that the plan does not know, an upper bound."""
    try:
        shape = architecture.read(config, "config.json")
    except architecture.UnknownArchitectureError:
        return _upper_bound(config, max_length, kv_cache_dtype)
    if kv_cache_dtype not in memory.COUNTED_DTYPES:
        return _upper_bound(config, max_length, kv_cache_dtype)
    setup = served(shape, Setup(cache_dtype=kv_cache_dtype), max_length)
    return memory.pool(shape, setup).required_bytes(max_length, setup.in_flight, prefix_caching=setup.prefix_caching)


def _upper_bound(config: Mapping[str, Any], max_length: int, kv_cache_dtype: str) -> int:
    """Every layer counted as full attention."""
    heads = config.get("num_attention_heads") or 1
    head_size = config.get("head_dim") or (config.get("hidden_size") or 0) // heads
    kv_heads = config.get("num_key_value_heads") or heads
    item_bytes = 1 if kv_cache_dtype.startswith("fp8") else 2
    prompt_tokens = CHUNK * (math.ceil(max_length / CHUNK) + 1)
    return prompt_tokens * 2 * (config.get("num_hidden_layers") or 1) * kv_heads * head_size * item_bytes
