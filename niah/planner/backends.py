"""Which attention backend keeps which KV-cache dtype on which GPU: what vLLM would refuse, refused before it loads.

The lists are those of vLLM 0.32's backend classes (v1/attention/backends, supported_kv_cache_dtypes and
supports_compute_capability), the order is platforms/cuda.py's; tests compare them with the classes themselves.
Compute capability 0 stands for a CPU.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from niah.errors import NiahError
from niah.planner.architecture import Architecture

NATIVE = ("bfloat16", "float16")
_FP8 = ("fp8_e4m3",)
_PER_TOKEN_HEAD = ("int4_per_token_head", "int8_per_token_head", "fp8_per_token_head")
_TURBOQUANT = tuple(f"turboquant_{name}" for name in ("k8v4", "4bit_nc", "k3v4_nc", "3bit_nc"))
_LLAMACPP = re.compile(r"i?q\d_\w+")
_GPUS = (8, 9, 10, 12)
DTYPES = (*NATIVE, *_FP8, "fp8_e5m2", *_PER_TOKEN_HEAD, "nvfp4", "nvfp4_4over6", *_TURBOQUANT)
"""KV-cache dtypes that niah knows by vLLM's names; fp8 is fp8_e4m3."""

ELSEWHERE_KEPT = ("float32", "hqq_int8", "hqq_int4", "hqq_int2", "quanto_int4", "quanto_int2")
"""Caches that engine=transformers alone has (planner/transformers.py)."""


@dataclass(frozen=True)
class Backend:
    """``serves``: heads (ordinary attention), latent (MLA) or sparse (MLA with an indexer).

    ``majors`` are the GPU generations it runs on, ``narrower`` those (or the lowest compute capability) on which it
    keeps one dtype; ``heads`` the head sizes it has, none for all up to ``max_head``.
    """

    name: str
    serves: str
    caches: tuple[str, ...]
    majors: tuple[int, ...] = _GPUS
    narrower: dict[str, tuple[int, ...] | float] = field(default_factory=dict)
    heads: tuple[int, ...] = ()
    max_head: int = 1 << 16

    def refuses(self, dtype: str, kind: str, head: int, capability: float) -> str:
        """Why not, empty where it does."""
        major = int(capability)
        if kind != self.serves:
            return f"{self.name} is for {_KINDS[self.serves]}"
        if major not in self.majors:
            return f"{self.name} does not run on {_gpu(capability)}"
        if (self.heads and head not in self.heads) or head > self._max_head(major):
            return f"{self.name} has no heads of {head}"
        if dtype not in self.caches:
            return f"{self.name} keeps no {dtype} cache"
        limit = self.narrower.get(dtype)
        if (isinstance(limit, tuple) and major not in limit) or (isinstance(limit, float) and capability < limit):
            return f"{self.name} keeps no {dtype} cache on {_gpu(capability)}"
        return ""

    def _max_head(self, major: int) -> int:
        return 512 if self.name == "FLASH_ATTN" and major in (9, 10) else self.max_head  # FlashAttention 4


_KINDS = {"heads": "models without latent attention", "latent": "latent attention (MLA)", "sparse": "sparse MLA"}
BACKENDS = (
    Backend("FLASH_ATTN", "heads", (*NATIVE, *_FP8), narrower={"fp8_e4m3": (9, 10)}, max_head=256),
    Backend(
        "FLASHINFER", "heads", (*NATIVE, *_FP8, "fp8_e5m2", "nvfp4", "nvfp4_4over6"),
        narrower={"nvfp4_4over6": (10,)}, heads=(64, 128, 256, 512),
    ),
    Backend(
        "TRITON_ATTN", "heads", (*NATIVE, *_FP8, "fp8_e5m2", *_PER_TOKEN_HEAD),
        narrower=dict.fromkeys(("fp8_e4m3", "fp8_e5m2", "fp8_per_token_head"), 8.9),
    ),
    Backend("FLEX_ATTENTION", "heads", NATIVE),
    Backend("TURBOQUANT", "heads", _TURBOQUANT),
    Backend(
        "CPU_ATTN", "heads", (*NATIVE, *_FP8, "fp8_e5m2"), (0,),
        heads=(32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512),
    ),
    Backend("FLASH_ATTN_MLA", "latent", NATIVE, (9,)),
    Backend("FLASHMLA", "latent", (*NATIVE, *_FP8), (9,), heads=(320, 512, 576)),
    Backend("FLASHINFER_MLA", "latent", (*NATIVE, *_FP8), (10,)),
    Backend("CUTLASS_MLA", "latent", (*NATIVE, *_FP8), (10,)),
    Backend("TRITON_MLA", "latent", (*NATIVE, *_FP8)),
    Backend("CPU_MLA", "latent", NATIVE, (0,), heads=(576,)),
    Backend("FLASH_ATTN_MLA_SPARSE", "sparse", NATIVE, (9,)),
    Backend("FLASHMLA_SPARSE", "sparse", ("bfloat16", *_FP8), (9, 10), heads=(512, 576)),
    Backend("FLASHINFER_MLA_SPARSE", "sparse", (*NATIVE, *_FP8), (10,), heads=(512, 576)),
    Backend("FLASHINFER_MLA_SPARSE_SM120", "sparse", _FP8, (12,), heads=(512, 576)),
)
_ELSEWHERE = ("B12X", "HPC_ATTN", "ULTRAQUANT", "ROCM_ATTN", "FLASHINFER_MLA_SPARSE_SM90")
"""Backends of special builds: not in the table, left to vLLM."""
_FIRST_ON_SM100 = ("FLASHINFER", "FLASHINFER_MLA", "FLASHINFER_MLA_SPARSE")


def plain(dtype: str) -> str:
    """One name for each dtype: fp8 is fp8_e4m3."""
    return "fp8_e4m3" if dtype == "fp8" else dtype


def named(word: str) -> str:
    """vLLM's name of a backend: triton is TRITON_ATTN. Raises NiahError for one that no version here has."""
    name = word.upper()
    known = [backend.name for backend in BACKENDS]
    for found in (name, f"{name}_ATTN", f"{name}_ATTENTION"):
        if found in known or found in _ELSEWHERE:
            return found
    raise NiahError(
        f"engine.attention: got {word!r}; expected one of {', '.join(known)} "
        "(flash_attn, flashinfer and triton for short)"
    )


def kind_of(architecture: Architecture) -> str:
    """Which backends can serve it: heads, latent or sparse, as ``Backend.serves`` has it."""
    layers = architecture.layers
    if any(layer.index_bytes for layer in layers):
        return "sparse"
    return "latent" if any(layer.latent for layer in layers) else "heads"


def serving(architecture: Architecture, dtype: str, capability: float) -> list[str]:
    """Backends that keep this cache for every head size of the model, vLLM's own choice first."""
    kind, sizes = kind_of(architecture), _head_sizes(architecture)
    found = [
        backend.name for backend in BACKENDS
        if not any(backend.refuses(plain(dtype), kind, size, capability) for size in sizes)
    ]
    if int(capability) == 10:
        found.sort(key=lambda name: name not in _FIRST_ON_SM100)
    return found


def refusal(architecture: Architecture, dtype: str, backend: str | None, capability: float) -> str:
    """One line where vLLM would refuse this KV dtype (with this backend) here, with what works; else empty."""
    dtype = plain(dtype)
    if _LLAMACPP.fullmatch(dtype):
        return (
            f"kv.dtype: {dtype} is llama.cpp's; expected vLLM's own, as bfloat16 or fp8_e4m3; "
            "engine=openai measures a server that has it"
        )
    offered = [name for name in DTYPES if name != "float16"]
    if dtype in ELSEWHERE_KEPT:
        return f"kv.dtype: {dtype} is a cache of engine=transformers; vLLM keeps one of {', '.join(offered)}"
    if dtype not in DTYPES:
        return ""  # a newer vLLM may know it
    able = serving(architecture, dtype, capability)
    here = _gpu(capability)
    if not able:
        others = {name: serving(architecture, name, capability) for name in offered}
        ways = [f"{name} ({found[0]})" for name, found in others.items() if found]
        gpus = [one for one in (8.0, 8.9, 9.0, 10.0, 12.0) if one != capability]
        elsewhere = [_gpu(one) for one in gpus if serving(architecture, dtype, one)]
        none = f"nor any other: {_KINDS[kind_of(architecture)]} does not run there"
        return (
            f"kv.dtype: no attention backend of vLLM keeps a {dtype} cache of this model on {here}; "
            + (f"expected one of {', '.join(ways)}" if ways else none)
            + (f"; {dtype} works on {', '.join(elsewhere)}" if elsewhere else "")
        )
    known = {one.name: one for one in BACKENDS}
    if backend in known and backend not in able:
        why = next(
            reason for size in _head_sizes(architecture)
            if (reason := known[backend].refuses(dtype, kind_of(architecture), size, capability))
        )
        return f"engine.attention={backend}: {why}; expected one of {', '.join(able)}, or none for vLLM's own choice"
    return ""


def _head_sizes(architecture: Architecture) -> Sequence[int]:
    sizes = {layer.latent or layer.key_width for layer in architecture.layers if layer.kind != "state"}
    return sorted(sizes)


def _gpu(capability: float) -> str:
    names = {0: "a CPU", 8: "Ampere", 9: "Hopper", 10: "Blackwell (B200)", 12: "Blackwell (RTX)"}
    name = "Ada" if capability == 8.9 else names.get(int(capability), "this GPU")
    return name if not capability else f"{name}, compute capability {capability:.1f}"
