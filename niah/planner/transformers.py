"""What an engine keeps that holds each prompt in one piece (transformers): which caches, and how much memory.

There are no blocks and no pool: keys and values of a prompt lie in one tensor a layer, as transformers 5 has it
(cache_utils.py), and grow by copying that tensor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from niah.errors import NiahError
from niah.models.settings import Model
from niah.planner import architecture, estimate, memory
from niah.planner.architecture import Architecture
from niah.planner.fit import CPU_ENGINE_SHARE, Fit
from niah.planner.hardware import Hardware
from niah.planner.layer import Layer
from niah.planner.memory import GIB, Setup
from niah.units import format_length

ATTENTION = ("sdpa", "eager", "flash_attention_2")
DTYPES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Number formats to compute in, with their bytes."""
CAST_BITS = {"bfloat16": 16, "float16": 16, "float32": 32, "fp8_e4m3": 8, "fp8_e5m2": 8}
"""Caches that keep each value in another number format, scale 1.0, as vLLM does where a checkpoint has no scales."""
QUANTIZED_BITS = {"hqq_int8": 8, "hqq_int4": 4, "hqq_int2": 2, "quanto_int4": 4, "quanto_int2": 2}
"""Caches of transformers' QuantizedCache: its backend and its bits."""
GROUP = 64
"""Values that share a scale and a zero point in a quantized cache."""
_PACKAGES = {"hqq": "hqq", "quanto": "optimum.quanto"}


@dataclass(frozen=True)
class Holding:
    """How a model is held: ``dtype`` to compute in, ``chunk`` tokens of a step."""

    dtype: str
    cache_dtype: str
    attention: str
    chunk: int


def check(model: Model, lengths: Sequence[int], holding: Holding, hardware: Hardware) -> Fit:
    """Which lengths have room. Raises NiahError for a cache or an attention that is not there."""
    try:
        shape = architecture.of(model)
    except architecture.UnknownArchitectureError:
        shape = None
    if reason := refusal(shape, holding, hardware.capability, model.name):
        raise NiahError(reason)
    if shape is None or model.weights not in memory.WEIGHT_BYTES:
        return Fit(Setup(), {})
    available = available_bytes(hardware)
    unfit = {}
    for length in sorted(set(lengths)):
        parts = need(shape, holding, length, model.weights, hardware.num_gpus)
        if sum(parts.values()) > available:
            unfit[length] = f"{phrase(parts)} of the {available / GIB:.1f} GiB the engine may take"
    if len(unfit) < len(set(lengths)):
        return Fit(Setup(), unfit)
    shortest = min(lengths)
    return Fit(Setup(), unfit, refusal=(
        f"model={model.name}: no length of this run fits engine=transformers; the shortest, {format_length(shortest)}, "
        f"{unfit[shortest]}; here: {hardware.label or hardware}; engine=vllm splits a model over GPUs and needs less"
    ))


def available_bytes(hardware: Hardware) -> int:
    """What the engine may take here, of all GPUs together: layers are spread over them."""
    if hardware.capability:
        return estimate.available_bytes(hardware) * hardware.num_gpus
    return int(hardware.memory_gib * GIB * CPU_ENGINE_SHARE)


def need(
    shape: Architecture, holding: Holding, length: int, weights: str = "bf16", num_gpus: int = 1
) -> dict[str, int]:
    """Bytes of weights, cache and the rest for one prompt of ``length``, on all GPUs: each runs layers of its own."""
    value_bytes = DTYPES[holding.dtype]
    size = memory.weight_bytes(shape, Setup(weights=weights, text_only=False))
    layers = [layer for layer in shape.layers if layer.owns_cache]
    chunk = min(holding.chunk, length)
    widest = max(_width(layer, shape) for layer in shape.layers)
    return {
        "weights": size * value_bytes // 2 if weights == "bf16" else size,
        "KV cache": sum(_cached(layer, holding, length) for layer in layers),
        "else": num_gpus * int(
            max(_working(layer, holding, length) for layer in layers)
            + chunk * value_bytes * (6 * shape.hidden_size + 3 * widest) + shape.vocabulary * 4 * 4
        ),
    }


def phrase(parts: dict[str, int]) -> str:
    """The parts of a need in one phrase."""
    listed = ", ".join(f"{size / GIB:.1f} {name}" for name, size in parts.items())
    return f"needs {sum(parts.values()) / GIB:.1f} GiB ({listed})"


def refusal(shape: Architecture | None, holding: Holding, capability: float, model: str) -> str:
    """One line where transformers has no such cache or attention here, with what works; else empty."""
    dtype = "fp8_e4m3" if holding.cache_dtype == "fp8" else holding.cache_dtype
    cast = ", ".join(CAST_BITS)
    if dtype not in CAST_BITS and dtype not in QUANTIZED_BITS:
        known = ", ".join((*CAST_BITS, *QUANTIZED_BITS))
        return f"kv.dtype: engine=transformers keeps no {dtype} cache; expected one of {known}"
    if dtype in QUANTIZED_BITS:
        others = sorted({layer.kind for layer in shape.layers} - {"full", "feed_forward"}) if shape else []
        if others:
            return (
                f"kv.dtype: transformers quantizes full attention alone; model={model} has "
                f"{' and '.join(others)} layers; expected one of {cast}"
            )
        package = _PACKAGES[dtype.partition("_")[0]]
        if not _is_installed(package):
            return (
                f"kv.dtype={dtype}: needs the package {package.replace('.', '-')}, which is not installed; "
                f"pip install 'niah[quant]', or take one of {cast}"
            )
    if holding.attention == "flash_attention_2":
        return _no_flash(holding, capability)
    return ""


def _no_flash(holding: Holding, capability: float) -> str:
    where, works = "engine.attention=flash_attention_2", "expected sdpa or eager"
    if capability < 8:
        return (
            f"{where}: needs an NVIDIA GPU of compute capability 8.0 or more; got {capability:.1f} (0 is none); {works}"
        )
    if not _is_installed("flash_attn"):
        return (
            f"{where}: the package flash-attn is not installed; pip install --no-build-isolation 'niah[flash]' (it is "
            f"compiled: CUDA's nvcc, up to an hour), or {works}"
        )
    if holding.dtype == "float32":
        return f"{where}: computes in bfloat16 and float16; got engine.dtype=float32; {works}"
    return ""


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the part of a package whose parent is missing
        return False


def _values(layer: Layer) -> int:
    """Keys and values that transformers keeps of a token: those of a latent layer (MLA) unfolded, for each head."""
    return (layer.heads if layer.latent else layer.kv_heads) * (layer.key_width + layer.value_width)


def _kept(layer: Layer, holding: Holding, length: int) -> int:
    return min(length, layer.window + holding.chunk) if layer.window else length


def _cached(layer: Layer, holding: Holding, length: int) -> int:
    if layer.kind == "state":
        return sum(layer.state_values) * 4
    dtype = "fp8_e4m3" if holding.cache_dtype == "fp8" else holding.cache_dtype
    if dtype in QUANTIZED_BITS:
        bits = QUANTIZED_BITS[dtype] + 2 * 8 * DTYPES[holding.dtype] / GROUP
        return int(2 * _values(layer) * length * bits / 8)  # twice: the old one lies beside the new while it is made
    return _values(layer) * _kept(layer, holding, length) * CAST_BITS[dtype] // 8


def _working(layer: Layer, holding: Holding, length: int) -> int:
    """What one layer needs while it runs: its grown copy, keys for each query head, mask, scores."""
    if layer.kind == "state":
        return 0
    tokens, value_bytes = _kept(layer, holding, length), DTYPES[holding.dtype]
    plain = _values(layer) * tokens * value_bytes
    chunk = min(holding.chunk, length)
    if holding.attention == "flash_attention_2":
        return 2 * plain
    repeated = plain if layer.latent else plain * layer.heads // layer.kv_heads
    scores = layer.heads * chunk * tokens * (4 + 2 * value_bytes) if holding.attention == "eager" else 0
    return 2 * plain + repeated + chunk * tokens * (1 + value_bytes) + scores


def _width(layer: Layer, shape: Architecture) -> int:
    inner = (layer.mlp_parameters + layer.active_expert_parameters) // (3 * shape.hidden_size)
    return inner + layer.heads * layer.key_width
