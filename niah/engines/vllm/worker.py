"""What a worker of vLLM says of itself, in its own process: each kind of layer, its backend and its scales.

vLLM adds ``Witness`` to its worker's class by its dotted path (``worker_extension_cls``, v1/worker/worker_base.py:296)
and calls ``niah_testimony`` of every worker. Its answer is text: a value that msgpack cannot encode would hang the
engine, and a call that raises on one of several ranks leaves the answers of the others unread, to be taken for those
of the next step (v1/executor/multiproc_executor.py:429). So nothing leaves it but a string. What a version of vLLM does
not have, or a kind of layer that is not known here, is "unknown", never a guess. Written for vLLM 0.32.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

UNKNOWN = "unknown"
PATH = f"{__name__}.Witness"
PLAIN = ("auto", "bfloat16", "float16", "half", "float", "float32")
"""KV-cache dtypes that need no scales."""
_READS_QUERIES_AS_THEY_ARE = (
    "FLASH_ATTN", "FLASH_ATTN_DIFFKV", "TRITON_ATTN", "TRITON_ATTN_DIFFKV", "FLEX_ATTENTION", "CPU_ATTN", "TURBOQUANT",
)
"""Backends that quantize queries, if at all, in the layer before them: its ``query_quant``."""


class Witness:
    """Has one method, which a worker of vLLM inherits."""

    def niah_testimony(self) -> str:
        """JSON: what this worker holds, or ``trouble``, why it cannot say. Never raises."""
        try:
            return json.dumps(_testimony(self), default=str)
        except Exception as error:
            return json.dumps({"trouble": f"{type(error).__name__}: {error}"[:300]})


def _testimony(worker: Any) -> dict[str, Any]:
    import vllm
    from vllm.distributed import get_pp_group
    from vllm.platforms import current_platform

    config, runner = worker.vllm_config, worker.model_runner
    on_gpu = current_platform.is_cuda_alike()
    return {
        "rank": worker.rank,
        "stage": get_pp_group().rank_in_group,  # of pipeline parallelism: other layers
        "layers": _counted(_layer(name, layer, runner) for name, layer in _layers(config)),
        "block_size": config.cache_config.block_size,
        "kv_cache_dtype": _plainly(config.cache_config.cache_dtype, config.model_config.dtype),
        "prefix_caching": bool(config.cache_config.enable_prefix_caching),
        "compilation": config.compilation_config.mode.name,
        "cuda_graphs": config.compilation_config.cudagraph_mode.name if on_gpu else "NONE",
        "async_scheduling": bool(config.scheduler_config.async_scheduling),
        "model_runner": _runner_version(type(runner).__module__),
        "load_format": str(config.load_config.load_format),
        "gpu": current_platform.get_device_name(worker.local_rank) if on_gpu else None,
        "vllm": vllm.__version__,
    }


def _layers(config: Any) -> list[tuple[str, Any]]:
    """All layers that attend, or keep a state in place of keys and values, by name."""
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase

    known = config.compilation_config.static_forward_context
    return [(name, layer) for name, layer in known.items() if isinstance(layer, AttentionLayerBase)]


def _layer(name: str, layer: Any, runner: Any) -> dict[str, Any]:
    """One layer as plain data; what does not apply to it is left out."""
    spec, group = _spec(name, runner), _group(name, runner)
    builder = next(iter(group.metadata_builders), None) if group else None
    backend = (group.backend if group else layer.get_attn_backend()).get_name()
    kind = _kind(spec)
    found: dict[str, Any] = {
        "kind": kind,
        "backend": backend,
        "block_size": spec.block_size if spec else None,
        "kernel_block_size": builder.kv_cache_spec.block_size if builder else None,
    }
    if kind == "mamba" or not (hasattr(layer, "kv_cache_dtype") or hasattr(layer, "impl")):
        return _given(found)  # a state, or the keys by which sparse attention chooses what it reads
    dtype = _plainly(getattr(layer, "kv_cache_dtype", UNKNOWN), getattr(layer, "kv_cache_torch_dtype", "auto"))
    prefill = getattr(layer, "prefill_backend", None)
    return _given({
        **found,
        "kv_cache_dtype": dtype,
        "head_size": getattr(layer, "head_size", None),
        "window": getattr(layer, "sliding_window", None),
        "flash_attn_version": _flash_attn_version(backend, getattr(layer, "impl", None), prefill),
        "prefill_backend": _prefill(prefill),
        "queries_quantized": _queries_quantized(layer, dtype, backend, builder),
        "scales": _scales(layer) if dtype not in PLAIN else None,
        "scales_are_computed": bool(getattr(layer, "calculate_kv_scales", False)) or None,  # vLLM before 0.32
    })


def _plainly(dtype: Any, own: Any) -> str:
    """The cache's type; its ``own``, that of the model, for "auto"."""
    return str(own).removeprefix("torch.") if dtype == "auto" else str(dtype)


def _given(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _counted(layers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Layers that say the same, once, with how many they are; scales are given as the least and the largest."""
    counted: dict[str, dict[str, Any]] = {}
    for layer in layers:
        scales = layer.pop("scales", None)
        one = counted.setdefault(json.dumps(layer, sort_keys=True, default=str), {**layer, "num_layers": 0})
        one["num_layers"] += 1
        if scales:
            both = [*one.get("scales", scales), *scales]
            one["scales"] = [min(both), max(both)]
    return list(counted.values())


def _spec(name: str, runner: Any) -> Any:
    """What the layer keeps, as the runner's own blocks are laid out; None for one that keeps nothing."""
    for group in runner.kv_cache_config.kv_cache_groups:
        if name in group.layer_names:
            spec = group.kv_cache_spec
            return getattr(spec, "kv_cache_specs", {}).get(name, spec)
    return None


def _group(name: str, runner: Any) -> Any:
    """The runner's layers of one backend among which this one is."""
    groups = (group for groups in runner.attn_groups for group in groups)
    return next((group for group in groups if name in group.layer_names), None)


def _kind(spec: Any) -> str:
    from vllm.v1 import kv_cache_interface

    if spec is None:
        return "keeps_nothing"
    return str(kv_cache_interface.get_kv_cache_spec_kind(spec).value)


def _runner_version(module: str) -> str:
    """Model runner V2 lives in v1/worker/gpu/, V1 in v1/worker/gpu_model_runner.py; those of CPUs inherit from them."""
    if module.startswith(("vllm.v1.worker.gpu.", "vllm.v1.worker.cpu.")):
        return "V2"
    return "V1" if module.startswith("vllm.v1.worker.") else UNKNOWN


def _flash_attn_version(backend: str, impl: Any, prefill: Any) -> Any:
    """A number, or several as "3+4" where prompts are read by another one than answers are written."""
    parts = [impl, prefill, getattr(impl, "general_impl", None), getattr(impl, "causal_impl", None)]
    found = {
        version for part in parts for name in ("vllm_flash_attn_version", "fa_version")
        if (version := getattr(part, name, None)) is not None
    }
    own = {getattr(impl, name, None) for name in ("vllm_flash_attn_version", "fa_version")} - {None}
    if backend.startswith("FLASH_ATTN") and not own and not getattr(impl, "general_impl", None):
        return UNKNOWN  # FLASH_ATTN_MLA names its version in a call, where it cannot be asked for
    if len(found) == 1:
        return found.pop()
    return "+".join(map(str, sorted(found))) or None


def _prefill(backend: Any) -> str | None:
    """What MLA reads prompts with, as "FLASH_ATTN 3"; None where that is what it writes answers with."""
    if backend is None:
        return None
    version = getattr(backend, "vllm_flash_attn_version", None)
    return f"{backend.get_name()} {version}" if version else str(backend.get_name())


def _queries_quantized(layer: Any, dtype: str, backend: str, builder: Any) -> bool | str:
    """Whether queries are rounded as the cache is: True, False, "prefill" or "decode" where it is one of the two."""
    if dtype in PLAIN:
        return False
    impl = getattr(layer, "impl", None)
    takes = getattr(impl, "supports_quant_query_input", None)
    if getattr(layer, "query_quant", None) is not None and takes:
        return True  # model_executor/layers/attention/attention.py:509
    if hasattr(builder, "q_data_type_prefill"):  # FlashInfer's own: v1/attention/backends/flashinfer.py:991
        return _phases(_is_fp8(builder.q_data_type_prefill), _is_fp8(builder.q_data_type_decode))
    if hasattr(layer, "kv_lora_rank") and hasattr(layer, "prefill_backend"):
        return _latent_queries_quantized(layer, dtype, takes, builder)
    if hasattr(layer, "query_quant") and backend in _READS_QUERIES_AS_THEY_ARE:
        return False
    return UNKNOWN


def _latent_queries_quantized(layer: Any, dtype: str, takes: bool | None, builder: Any) -> bool | str:
    """Of MLA: model_executor/layers/attention/mla_attention.py:1090 for answers, :2318 for prompts."""
    if takes is None or not dtype.startswith(("fp8", "nvfp4")):
        return UNKNOWN
    if layer.prefill_backend is None:  # a sparse layer that reads prompts as it writes answers
        return takes
    if not hasattr(builder, "q_data_type"):
        return UNKNOWN
    in_prefill = _is_fp8(builder.q_data_type)
    if getattr(layer.impl, "is_sparse", False) and in_prefill != takes:
        return UNKNOWN  # which of the two ways a prompt is read depends on its length
    return _phases(in_prefill, takes)


def _phases(in_prefill: bool, in_decode: bool) -> bool | str:
    if in_prefill == in_decode:
        return in_prefill
    return "prefill" if in_prefill else "decode"


def _is_fp8(dtype: Any) -> bool:
    return "float8" in str(dtype)


def _scales(layer: Any) -> list[float] | None:
    """The least and the largest of the layer's scales of keys and values: of the tensors that kernels read, and of
    the copies on the host that others read. None where one is no number."""
    found: list[float] = []
    for name in ("_k_scale", "_v_scale"):
        tensor, host = getattr(layer, name, None), getattr(layer, f"{name}_float", None)
        if tensor is None and host is None:
            return None
        found += [] if tensor is None else tensor.detach().float().cpu().flatten().tolist()
        found += [] if host is None or (tensor is not None and tensor.numel() > 1) else [float(host)]
    return [min(found), max(found)] if all(map(math.isfinite, found)) else None
