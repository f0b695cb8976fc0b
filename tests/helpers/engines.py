"""Which engine is installed here, for tests that depend on it."""

import pytest

from niah import environment
from niah.engines.vllm.process import is_cpu_build

exact_on_cpus = pytest.mark.skipif(
    not is_cpu_build(), reason="on GPUs a prefix-cache hit may change rounding: docs/methods.md"
)

HAS_FP8 = not is_cpu_build() or environment.has_avx512()
"""vLLM keeps an FP8 cache on processors with AVX-512 or AMX alone (planner/cpu.py)."""
needs_fp8 = pytest.mark.skipif(not HAS_FP8, reason="vLLM keeps no FP8 cache on this processor: it has no AVX-512")
classes_of_gpus = pytest.mark.skipif(
    not environment.has_avx512(), reason="some of vLLM's classes for GPUs load a library that needs AVX-512"
)
VARIANTS = ("bf16", "fp8") if HAS_FP8 else ("bf16",)
KV = f"kv=[{','.join(VARIANTS)}]"
