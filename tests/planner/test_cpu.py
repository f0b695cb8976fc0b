"""What vLLM keeps on processors: told before it starts."""

import pytest

from niah import environment
from niah.errors import NiahError
from niah.planner import architecture, attention, cpu
from niah.runs import capacity
from tests.helpers.configs import built


def test_avx512_is_told_as_torch_tells_it():
    import torch

    assert environment.has_avx512() == (torch.cpu._is_avx512_supported() or torch.cpu._is_amx_tile_supported())


@pytest.mark.parametrize(("model", "cache", "offered"), [
    ("bfloat16", "bfloat16", ""), ("float32", "float32", ""), ("float16", "float16", ""),
    ("float32", "bfloat16", "expected kv=fp32, or model.dtype=bfloat16"),
    ("bfloat16", "float32", "expected kv=bf16, or model.dtype=float32"),
    ("float16", "bfloat16", "expected kv=f16, or model.dtype=bfloat16"),
    ("bfloat16", "nvfp4", ""),  # refused by its backends (attention.py)
])
def test_a_cache_is_of_the_models_own_type(model, cache, offered):
    refusal = cpu.refusal(model, cache)
    assert refusal.endswith(offered) and bool(refusal) == bool(offered)


def test_fp8_needs_avx512():
    from niah.engines.vllm.process import is_cpu_build

    settings = built("kv=fp8", "ctx.lengths=[512]")
    if not is_cpu_build() or environment.has_avx512():
        assert not capacity.check(settings)["fp8"].unfit
    else:
        with pytest.raises(NiahError, match=r"kv.dtype: vLLM keeps fp8_e4m3 on processors with AVX-512 or AMX alone"):
            capacity.check(settings)


def test_a_float32_cache_is_counted_and_told_as_auto():
    settings = built("kv=fp32", "model.dtype=float32", "ctx.lengths=[512]")
    setup = capacity.check(settings)["fp32"].setup
    assert (setup.cache_dtype, setup.cache_name) == ("float32", "auto")
    half = capacity.check(built("ctx.lengths=[512]"))["bf16"].setup
    assert half.cache_name == "bfloat16"
    on_gpu = attention.refusal(architecture.of(settings.model), "float32", 9.0)
    assert "float32 is a cache of engine=transformers" in on_gpu
