"""What we refuse before loading is what vLLM's own backend classes refuse."""

from dataclasses import replace

import pytest

from niah.engines.vllm import agreement
from niah.errors import NiahError
from niah.planner import attention, backends, fit, memory, serving
from niah.planner.hardware import Hardware
from niah.planner.serving import Wish
from tests.helpers.configs import built
from tests.helpers.machines import KNOWN, eight, shape

CAPABILITIES = ((8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0))
UNNAMED = ("auto", "fp8_ds_mla")  # the checkpoint's choice, and MLA's own packing
SAME = {"fp8": "fp8_e4m3"}
CPU = Hardware("auto", "this machine: no NVIDIA GPU", 4096.0)


def gpu(name: str, count: int = 1) -> Hardware:
    return replace(next(one for one in KNOWN if one.name == name), num_gpus=count)


@pytest.mark.parametrize("ours", backends.BACKENDS, ids=lambda one: one.name)
def test_lists_are_those_of_vllms_classes(ours):
    from vllm.platforms.interface import DeviceCapability
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    try:
        theirs = AttentionBackendEnum[ours.name].get_class()
    except (ImportError, AssertionError) as error:
        pytest.skip(f"cannot be imported on this machine: {error}")
    listed = {SAME.get(dtype, dtype) for dtype in theirs.supported_kv_cache_dtypes if dtype not in UNNAMED}
    assert listed <= {*ours.caches, *backends.NATIVE}
    assert set(ours.caches) - {*backends.NATIVE} <= listed
    if sizes := [size for size in theirs.get_supported_head_sizes() if isinstance(size, int)]:
        assert sorted(ours.heads) == sorted(sizes) or not ours.heads
    for major, minor in CAPABILITIES:
        # dense FlashMLA narrows it to Hopper when asked again; those of AMD's platform are asked there (test_amd.py)
        if ours.majors != (0,) and ours.name != "FLASHMLA" and not ours.name.startswith("ROCM"):
            runs = theirs.supports_compute_capability(DeviceCapability(major, minor))
            assert runs == (major in ours.majors), (major, minor)


@pytest.mark.parametrize(
    ("hardware", "architecture", "dtype", "expected"),
    [
        ("h100", "llama4_scout", "fp8_e4m3", ["FLASH_ATTN", "FLASHINFER", "TRITON_ATTN"]),
        ("a100_80", "llama4_scout", "fp8_e4m3", ["FLASHINFER"]),
        ("l40s", "llama4_scout", "fp8_e4m3", ["FLASHINFER", "TRITON_ATTN"]),
        ("h100", "llama4_scout", "fp8_e5m2", ["FLASHINFER", "TRITON_ATTN"]),
        ("b200", "llama4_scout", "bfloat16", ["FLASHINFER", "FLASH_ATTN", "TRITON_ATTN", "FLEX_ATTENTION"]),
        ("a100_80", "llama4_scout", "int8_per_token_head", ["TRITON_ATTN"]),
        ("a100_80", "llama4_scout", "fp8_per_token_head", []),
        ("h100", "qwen3_235b_a22b", "turboquant_k8v4", ["TURBOQUANT"]),
        ("h100", "llama4_scout", "turboquant_k8v4", []),
        ("h100", "gemma3_4b", "turboquant_k8v4", []),
        ("h100", "gemma4_31b", "fp8_e4m3", ["FLASH_ATTN", "FLASHINFER", "TRITON_ATTN"]),
        ("h100", "smollm2_135m", "nvfp4", []),
        ("b200", "smollm2_135m", "nvfp4", ["FLASHINFER"]),
        ("b200", "glm_5", "nvfp4_ds_mla", ["FLASHMLA_SPARSE"]),
        ("a100_80", "deepseek_r1", "fp8_e4m3", []),
        ("h100", "deepseek_r1", "fp8_e4m3", ["FLASHMLA", "TRITON_MLA"]),
        ("h100", "deepseek_r1", "bfloat16", ["FLASH_ATTN_MLA", "FLASHMLA", "TRITON_MLA"]),
        ("h100", "deepseek_r1", "fp8_e5m2", []),
        ("a100_80", "glm_5", "bfloat16", []),
        ("h200", "glm_5", "fp8_e4m3", ["FLASHMLA_SPARSE", "FLASHINFER_MLA_SPARSE_SM90"]),
    ],
)
def test_who_keeps_what_where(hardware, architecture, dtype, expected):
    assert attention.serving(shape(architecture), dtype, gpu(hardware).capability) == expected


def refused(run, hardware: Hardware) -> str:
    with pytest.raises(NiahError) as caught:
        fit.check(run.model, [8192], run.kv.dtype, hardware, KNOWN, run.engine.wish())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_give_the_alternative():
    run = built("model=smollm2_135m", "kv=fp8_per_token_head")
    text = refused(run, gpu("a100_80"))
    assert "keeps a fp8_per_token_head cache of this model on Ampere, compute capability 8.0" in text
    assert "fp8_e4m3 (FLASHINFER)" in text and "int8_per_token_head (TRITON_ATTN)" in text and "works on Ada" in text
    run = built("model=smollm2_135m", "kv=fp8_e5m2", "engine.attention=flash_attn")
    assert "FLASH_ATTN keeps no fp8_e5m2 cache; expected one of FLASHINFER, TRITON_ATTN" in refused(run, gpu("h100"))
    run = built("model=smollm2_135m", "kv=nvfp4")
    assert "expected one of bfloat16 (CPU_ATTN), fp8_e4m3 (CPU_ATTN), fp8_e5m2 (CPU_ATTN)" in refused(run, CPU)
    run = built("model=smollm2_135m", "kv=fp8", "engine.flash_attn_version=2")
    text = refused(run, gpu("h100"))
    assert text.startswith("engine.flash_attn_version=2: ") and "FP8 KV cache requires FA3 on SM90" in text
    assert text.endswith("expected one of 3, or none")
    run = built("model=gemma4_31b", "kv=fp8")
    assert "vLLM takes TRITON_ATTN for Gemma 4 here" in refused(run, gpu("a100_80", 8))
    run = built("model=scout", "kv=turboquant_k8v4")
    assert "cannot leave the first and last 2 layers alone where they are chunked" in refused(run, eight("h100"))
    run = built("kv.name=octave", "kv.dtype=octave_k3v4")
    assert "octave_k3v4 is for AMD GPUs alone" in refused(run, gpu("h100"))
    run = built("engine.flash_attn_version=2")
    assert "FlashAttention is for GPUs" in refused(run, CPU)
    found = fit.check(run.model, [8192], "a_dtype_of_a_newer_vllm", gpu("h100"), KNOWN)
    assert not found.unfit and not found.refusal


@pytest.mark.parametrize(
    ("words", "hardware", "message"),
    [
        (
            ["model=scout", "engine.tensor_parallel_size=6"], eight("h100"),
            "6 does not divide the heads of model=scout; expected one of 1, 2, 4, 8",
        ),
        (["model=scout", "engine.tensor_parallel_size=16"], eight("h100"), "16 GPUs asked for .* expected at most 8"),
        (["engine.tensor_parallel_size=2"], CPU, "2 GPUs asked for .* no GPU, so 1 process"),
        (["model=scout", "engine.decode_context_parallel_size=2"], eight("h100"), "scout has chunked layers"),
        (["model=qwen3_235b", "engine.decode_context_parallel_size=4"], eight("h200"), "expected one of 1, 2"),
    ],
)
def test_splits_that_vllm_refuses(words, hardware, message):
    run = built(*words)
    with pytest.raises(NiahError, match=message):
        fit.check(run.model, [8192], run.kv.dtype, hardware, KNOWN, run.engine.wish())


def test_arguments_follow_from_the_plan_and_the_user_wins():
    run = built("model=scout", "engine.args={max_num_batched_tokens: 2048, disable_hybrid_kv_cache_manager: true}")
    wish, longest = run.engine.wish(), 10 * 2**20
    made = serving.setup(shape("llama4_scout"), eight("h200"), wish, "fp8_e4m3", "bf16", longest, "scout")
    assert (made.batch, made.hybrid, made.block_size, made.tensor_parallel) == (2048, False, 64, 8)
    arguments = serving.arguments(made, longest)
    assert arguments["max_model_len"] == longest and arguments["disable_hybrid_kv_cache_manager"] is True
    short = serving.setup(shape("llama4_scout"), eight("h200"), Wish(), "fp8_e4m3", "bf16", 8192, "scout")
    assert short.block_size == 16
    latent = serving.setup(shape("deepseek_r1"), eight("h200"), Wish(), "bfloat16", "fp8", 8192, "deepseek_r1")
    assert latent.block_size == 64  # FlashMLA has no other


@pytest.mark.parametrize(
    ("architecture", "hardware", "dtype", "wish", "expected"),
    [
        ("gemma4_31b", "h200", "fp8_e4m3", Wish(), {"block_size": 64, "kv_cache_dtype": "fp8_e4m3"}),
        ("gemma4_31b", "h200", "bfloat16", Wish(), {"block_size": 16}),
        ("gemma3_4b", "b200", "bfloat16", Wish(backend="FLASH_ATTN"), {"block_size": 128}),
        ("glm_5", "h200", "fp8_e4m3", Wish(), {"block_size": 64, "kv_cache_dtype": "fp8"}),
        ("command_r_plus", "h200", "turboquant_k8v4", Wish(), {"block_size": 32}),
        (
            "command_r_plus", "b200", "bfloat16", Wish(flash_attn_version=4),
            {"attention_config": {"backend": "FLASH_ATTN", "flash_attn_version": 4}},
        ),
        ("command_r_plus", "h200", "turboquant_k8v4", Wish(flash_attn_version=2),
         {"attention_config": {"flash_attn_version": 2}}),
    ],
)
def test_what_the_fast_backend_needs_is_given(architecture, hardware, dtype, wish, expected):
    """Blocks, the name of the dtype and, where a version is asked for, the backend that has versions."""
    made = serving.setup(shape(architecture), eight(hardware), wish, dtype, "bf16", 8192, architecture)
    arguments = serving.arguments(made, 8192, wish)
    assert {name: arguments.get(name) for name in expected} == expected


def test_sparse_mla_is_packed_where_flashmla_serves():
    asked = Wish(backend="FLASHMLA_SPARSE")
    made = [
        serving.setup(shape("glm_5"), eight(hardware), wish, "fp8_e4m3", "bf16", 8192, "glm_5")
        for hardware, wish in (("h200", Wish()), ("b200", Wish()), ("b200", asked))
    ]
    layer = shape("glm_5").layers[0]
    assert [memory._cached(layer, setup).token_bytes for setup in made] == [656, 576, 656]


@pytest.mark.parametrize(
    ("wish", "served", "expected"),
    [
        (Wish(), {"attention_backend": "TRITON_ATTN"}, ""),
        (Wish(backend="FLASH_ATTN"), {"attention_backend": "TRITON_ATTN"}, "serves with TRITON_ATTN"),
        (Wish(backend="FLASH_ATTN"), {"attention_backend": "FLASH_ATTN+TRITON_ATTN"}, "with FLASH_ATTN+TRITON_ATTN"),
        (Wish(backend="FLASH_ATTN"), {"attention_backend": "unknown"}, ""),
        (Wish(backend="FLASHMLA_SPARSE"), {"attention_backend": "DEEPSEEK_V32_INDEXER+FLASHMLA_SPARSE"}, ""),
        (Wish(flash_attn_version=3), {"attention_backend": "FLASH_ATTN", "flash_attn_version": "3+4"}, "with FlashAtt"),
        (Wish(flash_attn_version=3), {"attention_backend": "FLASH_ATTN", "flash_attn_version": 3}, ""),
        (Wish(flash_attn_version=2), {"attention_backend": "CPU_ATTN"}, "CPU_ATTN, without FlashAttention"),
        (Wish(flash_attn_version=2), {"attention_backend": "FLASH_ATTN", "flash_attn_version": "unknown"}, ""),
    ],
)
def test_nothing_is_measured_under_another_name(wish, served, expected):
    told = agreement.difference(wish, served)
    assert expected in told and bool(told) == bool(expected)


def test_bytes_of_scaled_caches_are_vllms():
    import torch
    from vllm.v1.attention.backends.triton_attn import TritonAttentionBackend
    from vllm.v1.kv_cache_interface import FullAttentionSpec, get_kv_quant_mode

    for dtype in ("int4_per_token_head", "int8_per_token_head", "fp8_per_token_head"):
        spec = FullAttentionSpec(
            block_size=16, num_kv_heads=8, head_size=128, dtype=torch.uint8, kv_quant_mode=get_kv_quant_mode(dtype)
        )
        theirs = TritonAttentionBackend.customize_spec(spec).page_size_bytes
        made = replace(memory.Setup(), cache_dtype=dtype)
        layer = next(one for one in shape("command_r_plus").layers if one.key_width == 128)
        ours = memory._cached(replace(layer, kv_heads=8), made).token_bytes * 16
        assert ours == theirs, dtype
