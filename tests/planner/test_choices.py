"""What niah foretells of attention backends is what vLLM chooses, and what it refuses vLLM refuses too.

vLLM's own model is made from niah's own arguments, on its CUDA platform class patched to run here
(tests/helpers/cuda_platform.py): each layer picks its backend as it does on that GPU. The whole table is slow; a part
of it that has each rule once is not.
"""

import pytest

from tests.helpers import foretold
from tests.helpers.engines import classes_of_gpus
from tests.helpers.foretold import Case, compared

RULES = {
    "h100": [
        ("smollm2_135m", "fp8"), ("smollm2_135m", "nvfp4"), ("smollm2_135m", "turboquant_k8v4"), ("gemma4_e2b", "bf16"),
        ("gemma4_e2b", "fp8"), ("qwen3_5_0_8b", "fp8"), ("qwen3_5_0_8b", "turboquant_3bit_nc"),
        ("gemma3_270m", "turboquant_k8v4"), ("scout", "turboquant_k8v4"), ("glm_5", "fp8"), ("mistral_small_4", "fp8"),
        ("gpt_oss_20b", "bf16"), ("gpt_oss_20b", "nvfp4"), ("nemotron_3_5_lightning", "fp8"),
        ("nemotron_3_5_lightning", "turboquant_4bit_nc"),
    ],
    "a100_80": [
        ("gemma4_e2b", "fp8"), ("smollm2_135m", "fp8"), ("mistral_small_4", "fp8"), ("gpt_oss_20b", "bf16"),
        ("gpt_oss_20b", "turboquant_k8v4"),
    ],
    "b200": [("gpt_oss_20b", "nvfp4"), ("gpt_oss_20b", "turboquant_k8v4"), ("deepseek_v3_2", "bf16")],
}
ASKED = [
    ("h100", ("smollm2_135m", "fp8"), ("engine.flash_attn_version=2", "engine.attention=flash_attn")),
    ("h100", ("gemma4_e2b", "fp8"), ("engine.attention=flash_attn", "engine.args={block_size: 16}")),
    ("h100", ("gemma4_e2b", "bf16"), ("engine.flash_attn_version=4",)),
    ("h100", ("smollm2_135m", "bf16"), ("engine.flash_attn_version=2",)),
    ("h100", ("smollm2_135m", "turboquant_k8v4"), ("engine.attention=turboquant",)),
    ("h100", ("glm_5", "fp8"), ("engine.attention=flashinfer_mla_sparse_sm90",)),
    ("b200", ("smollm2_135m", "bf16"), ("engine.flash_attn_version=4",)),
    ("b200", ("gemma3_270m", "bf16"), ("engine.attention=flash_attn",)),
    ("b200", ("gemma3_270m", "fp8"), ("engine.attention=flash_attn",)),
    ("b200", ("glm_5", "fp8"), ("engine.attention=flashmla_sparse",)),
    ("a100_80", ("gemma4_e2b", "fp8"), ("engine.attention=flashinfer",)),
    ("h100", ("gpt_oss_20b", "fp8"), ("engine.attention=flashinfer",)),
    ("h100", ("gpt_oss_20b", "bf16"), ("engine.attention=flex_attention",)),
    ("a100_80", ("gpt_oss_20b", "bf16"), ("engine.attention=flash_attn",)),
]
"""What a user may ask for; each is refused by both, or served as it was asked for."""


def differing(cases: list[Case]) -> list[Case]:
    return [case for case in cases if not case.agrees and not case.why_stricter]


@pytest.mark.engine
@classes_of_gpus
@pytest.mark.parametrize("gpu", [one if one == "b200" else pytest.param(one, marks=pytest.mark.slow) for one in RULES])
def test_each_rule_is_vllms(gpu):
    cases = compared(gpu, RULES[gpu])
    assert not differing(cases)
    assert any(case.vllm == "refused" for case in cases) and any(case.vllm != "refused" for case in cases)


@pytest.mark.engine
@classes_of_gpus
@pytest.mark.slow
@pytest.mark.parametrize("gpu", foretold.GPUS)
def test_the_whole_table(gpu):
    cases = compared(gpu, [(model, kv) for model in foretold.models() for kv in foretold.caches()])
    assert len(cases) > 500 and not differing(cases)


@pytest.mark.engine
@classes_of_gpus
@pytest.mark.slow
@pytest.mark.parametrize("gpu", ["h200", "b200"])
def test_long_prompts_have_larger_blocks_and_the_same_backends(gpu):
    models = [model for model in foretold.models() if foretold.built(f"model={model}").model.limit >= 2**20]
    cases = compared(gpu, [(model, kv) for model in models for kv in ("bf16", "fp8")], length=2**20)
    assert len(cases) > 4 and not differing(cases)


@pytest.mark.engine
@classes_of_gpus
@pytest.mark.slow
@pytest.mark.parametrize(("gpu", "pair", "words"), ASKED)
def test_what_is_asked_for_serves_or_is_refused(gpu, pair, words):
    assert not differing(compared(gpu, [pair], words))
