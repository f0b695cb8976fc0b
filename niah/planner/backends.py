"""Attention backends of vLLM: which KV-cache dtype each keeps, for which heads and on which GPU.

The lists are those of vLLM's backend classes (v1/attention/backends: supported_kv_cache_dtypes,
get_supported_head_sizes, supports_compute_capability, supports_combination), read in 0.32 and 0.33; tests compare them
with the classes. Which of them serves a model is in attention.py. Compute capability 0 stands for a CPU, 94.2 and 95.0
for AMD's gfx942 and gfx950 (hardware.py), without the kernels of the package aiter where vLLM has others.
"""

import re
from dataclasses import dataclass, field

from niah.errors import NiahError

NATIVE = ("bfloat16", "float16")
_FP8 = ("fp8_e4m3",)
_PER_TOKEN_HEAD = ("int4_per_token_head", "int8_per_token_head", "fp8_per_token_head")
_TURBOQUANT = tuple(f"turboquant_{name}" for name in ("k8v4", "4bit_nc", "k3v4_nc", "3bit_nc"))
LLAMACPP = re.compile(r"i?q\d_\w+")
"""llama.cpp's names of caches: a server's, never vLLM's."""
_GPUS = (8, 9, 10, 12)
_AMD = (94, 95)
DTYPES = (*NATIVE, *_FP8, "fp8_e5m2", *_PER_TOKEN_HEAD, "nvfp4", "nvfp4_4over6", "nvfp4_ds_mla", *_TURBOQUANT)
"""KV-cache dtypes that niah knows by vLLM's names; fp8 is fp8_e4m3."""

ELSEWHERE_KEPT = ("float32", "hqq_int8", "hqq_int4", "hqq_int2", "quanto_int4", "quanto_int2")
"""Caches that engine=transformers alone has (planner/transformers.py)."""
_OCTAVE = ("octave_k3v4", "octave_k3v3", "octave_k3v3_compact")
ELSEWHERE = {
    **dict.fromkeys(_OCTAVE, "AMD GPUs alone (ROCM_OCTAVE, from vLLM 0.33 on)"),
    "ultraquant_4bit": "AMD GPUs alone (ULTRAQUANT)",
}
"""KV-cache dtypes of vLLM that no backend keeps on an NVIDIA GPU or a CPU."""


@dataclass(frozen=True)
class Backend:
    """``serves``: heads (ordinary attention), latent (MLA) or sparse (MLA with an indexer).

    ``majors`` are the GPU generations it runs on, ``narrower`` those (or the lowest compute capability) on which it
    keeps one dtype; ``heads`` the head sizes it has, none for all from ``min_head`` to ``max_head``. A block holds a
    multiple of ``block`` tokens. ``sink_majors`` are the generations on which it knows attention sinks.
    """

    name: str
    serves: str
    caches: tuple[str, ...]
    majors: tuple[int, ...] = _GPUS
    narrower: dict[str, tuple[int, ...] | float] = field(default_factory=dict)
    heads: tuple[int, ...] = ()
    min_head: int = 1
    max_head: int = 1 << 16
    block: int = 16
    has_windows: bool = True
    sink_majors: tuple[int, ...] = ()

    def refuses(
        self, dtype: str, kind: str, head: int, capability: float, *, is_windowed: bool = False, has_sinks: bool = False
    ) -> str:
        """Why it does not serve a layer, empty where it does; the version of FlashAttention apart (attention.py)."""
        major = int(capability)
        if kind != self.serves:
            return f"{self.name} is for {KINDS[self.serves]}"
        if major not in self.majors:
            return f"{self.name} does not run on {gpu(capability)}"
        if (self.heads and head not in self.heads) or not self.min_head <= head <= self._max_head(major):
            return f"{self.name} has no heads of {head}"
        if dtype not in self.caches:
            return f"{self.name} keeps no {dtype} cache"
        limit = self.narrower.get(dtype)
        if (isinstance(limit, tuple) and major not in limit) or (isinstance(limit, float) and capability < limit):
            return f"{self.name} keeps no {dtype} cache on {gpu(capability)}"
        if is_windowed and not self.has_windows:
            return f"{self.name} has no sliding windows"
        if has_sinks and major not in self.sink_majors:
            return f"{self.name} has no attention sinks on {gpu(capability)}"
        if has_sinks and self.name == "FLASHINFER" and dtype.startswith("nvfp4") and major != 10:
            return f"{self.name} cannot read a {dtype} cache with attention sinks on {gpu(capability)}"
        if self.name == "FLASHINFER" and dtype == "nvfp4" and head == 64 and major != 10:
            return f"{self.name} misreads a nvfp4 cache of heads of 64 on {gpu(capability)}"  # flashinfer.py:542
        return ""

    def _max_head(self, major: int) -> int:
        return 512 if self.name == "FLASH_ATTN" and major in (9, 10) else self.max_head  # FlashAttention 4


KINDS = {"heads": "models without latent attention", "latent": "latent attention (MLA)", "sparse": "sparse MLA"}
BACKENDS = (
    Backend("FLASH_ATTN", "heads", (*NATIVE, *_FP8), narrower={"fp8_e4m3": (9, 10)}, max_head=256, sink_majors=(9, 10)),
    Backend(
        "FLASHINFER", "heads", (*NATIVE, *_FP8, "fp8_e5m2", "nvfp4", "nvfp4_4over6"),
        narrower={"nvfp4_4over6": (10,)}, heads=(64, 128, 256, 512), sink_majors=(9, 10, 12),
    ),
    Backend(
        "ROCM_ATTN", "heads", (*NATIVE, *_FP8, "fp8_e5m2"), _AMD, heads=(32, 64, 80, 96, 128, 160, 192, 224, 256),
    ),
    Backend(
        "TRITON_ATTN", "heads", (*NATIVE, *_FP8, "fp8_e5m2", *_PER_TOKEN_HEAD), (*_GPUS, *_AMD),
        narrower=dict.fromkeys(("fp8_e4m3", "fp8_e5m2", "fp8_per_token_head"), 8.9), min_head=32,
        sink_majors=(*_GPUS, *_AMD),
    ),
    Backend("FLEX_ATTENTION", "heads", NATIVE),
    Backend("TURBOQUANT", "heads", _TURBOQUANT, (*_GPUS, *_AMD), has_windows=False),
    Backend(
        "CPU_ATTN", "heads", (*NATIVE, *_FP8, "fp8_e5m2"), (0,),
        heads=(32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512), block=32, sink_majors=(0,),
    ),
    Backend("FLASH_ATTN_MLA", "latent", NATIVE, (9,)),
    Backend("FLASHMLA", "latent", (*NATIVE, *_FP8), (9,), block=64),
    Backend("FLASHINFER_MLA", "latent", (*NATIVE, *_FP8), (10,), block=32),
    Backend("CUTLASS_MLA", "latent", (*NATIVE, *_FP8), (10,), block=128),
    Backend("TRITON_MLA", "latent", (*NATIVE, *_FP8), (*_GPUS, *_AMD), narrower={"fp8_e4m3": 8.9}),
    Backend("CPU_MLA", "latent", NATIVE, (0,), heads=(576,)),
    Backend("FLASH_ATTN_MLA_SPARSE", "sparse", NATIVE, (9,), block=64),
    Backend(
        "FLASHMLA_SPARSE", "sparse", ("bfloat16", *_FP8, "nvfp4_ds_mla"), (9, 10),
        narrower={"nvfp4_ds_mla": (10,)}, heads=(512, 576), block=64,
    ),
    Backend("FLASHINFER_MLA_SPARSE", "sparse", (*NATIVE, *_FP8), (10,), heads=(512, 576), block=64),
    Backend("FLASHINFER_MLA_SPARSE_SM90", "sparse", ("bfloat16", *_FP8), (9,), heads=(512, 576), block=64),
    Backend("FLASHINFER_MLA_SPARSE_SM120", "sparse", _FP8, (12,), heads=(512, 576), block=64),
    Backend("ROCM_AITER_MLA_SPARSE", "sparse", (*NATIVE, *_FP8), _AMD),
)
BATCH_INVARIANT = ("FLASH_ATTN", "TRITON_ATTN", "FLEX_ATTENTION", "FLASH_ATTN_MLA", "TRITON_MLA")
"""Whose answer for a prompt does not depend on the others in work (supports_batch_invariance)."""
_ELSEWHERE = (
    "B12X", "HPC_ATTN", "ULTRAQUANT", "ROCM_AITER_FA", "ROCM_AITER_UNIFIED_ATTN", "ROCM_AITER_MLA",
    "TOKENSPEED_MLA", "TRITON_FLASH_ATTN", "TRITON_FLASHINFER", "FLASH_ATTN_MLA_SPARSE_FA4",
)
"""Backends of special builds and of newer versions: not in the table, left to vLLM."""


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


def gpu(capability: float) -> str:
    """A GPU by its generation, for people."""
    if int(capability) in _AMD:
        return f"AMD's CDNA {int(capability) - 91} (gfx{10 * capability:.0f})"
    names = {0: "a CPU", 8: "Ampere", 9: "Hopper", 10: "Blackwell (B200)", 12: "Blackwell (RTX)"}
    name = "Ada" if capability == 8.9 else names.get(int(capability), "this GPU")
    return name if not capability else f"{name}, compute capability {capability:.1f}"
