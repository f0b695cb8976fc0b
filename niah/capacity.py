"""How much memory a model's KV cache takes, from its config.json alone."""

import math
from collections.abc import Mapping
from typing import Any

MIB = 2**20


def kv_bytes_per_token(config: Mapping[str, Any], kv_cache_dtype: str) -> int:
    """Bytes of keys and values per token, every layer counted as full attention: an upper bound."""
    heads = config.get("num_attention_heads") or 1
    head_size = config.get("head_dim") or (config.get("hidden_size") or 0) // heads
    kv_heads = config.get("num_key_value_heads") or heads
    item_bytes = 1 if kv_cache_dtype.startswith("fp8") else 2
    return 2 * (config.get("num_hidden_layers") or 1) * kv_heads * head_size * item_bytes


def cpu_kv_cache_bytes(config: Mapping[str, Any], max_length: int, kv_cache_dtype: str, block: int) -> int:
    """KV cache for a run on a CPU: room for two of its longest prompts, at most 60% of free memory.

    Two, because trials share the beginnings of their prompts: one prompt being read, one kept.
    """
    import psutil

    prompt_tokens = block * (math.ceil(max_length / block) + 1)
    wanted = 2 * prompt_tokens * kv_bytes_per_token(config, kv_cache_dtype)
    return max(64 * MIB, min(wanted, int(0.6 * psutil.virtual_memory().available)))
