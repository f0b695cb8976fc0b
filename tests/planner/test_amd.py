"""Plans for AMD GPUs: the attention backends are those that vLLM's own ROCm platform class chooses."""

import pytest

from niah import choices, cli
from niah.errors import NiahError
from niah.models.settings import Model
from niah.planner import architecture, attention, backends
from niah.planner.hardware import Hardware
from tests.helpers import rocm_platform
from tests.helpers.configs import built
from tests.helpers.engines import classes_of_gpus

GPUS = {"mi300x": "gfx942", "mi355x": "gfx950"}
DTYPES = [name for name in backends.DTYPES if "turboquant" not in name]
"""TurboQuant leaves layers to another backend: one case of its own."""


def cases(model: Model) -> list[dict]:
    """A case of vLLM's selector for each kind of layer and KV dtype."""
    shape = architecture.of(model)
    kind = attention.kind_of(shape)
    layers = {
        (layer.latent or layer.key_width, layer.has_sinks, layer.kind == "sliding")
        for layer in shape.layers if layer.attends
    }
    return [
        {"head_size": head, "kv_cache_dtype": dtype, "use_mla": kind != "heads", "use_sparse": kind == "sparse",
         "has_sink": sinks, "has_sliding_window": windowed}
        for head, sinks, windowed in sorted(layers) for dtype in DTYPES
    ]


def models() -> list[Model]:
    names = [name for name in choices.names("model") if name not in ("custom",) and "/" not in name]
    made = [built(f"model={name}").model for name in names]
    return [one for one in made if not one.repository.startswith("calibration")]


@classes_of_gpus
@pytest.mark.parametrize("arch", ["gfx942", pytest.param("gfx950", marks=pytest.mark.slow)])
def test_each_layer_is_served_as_vllm_would(arch):
    capability = Hardware(compute_capability=arch).capability
    every = [(model, case) for model in models() for case in cases(model)]
    told = rocm_platform.asked(arch, [case for _, case in every])
    wrong = []
    for (model, case), found in zip(every, told, strict=True):
        kind = "sparse" if case["use_sparse"] else "latent" if case["use_mla"] else "heads"
        mine = [
            one.name for one in backends.BACKENDS
            if not one.refuses(
                backends.plain(case["kv_cache_dtype"]), kind, case["head_size"], capability,
                is_windowed=case["has_sliding_window"], has_sinks=case["has_sink"],
            )
        ]
        if mine != found:
            wrong.append((model.name, case, mine, found))
    assert not wrong, wrong[:3]
    assert len(every) > 300 and any(not found for found in told) and any(len(found) > 1 for found in told)


@pytest.mark.parametrize(("model", "kv", "served"), [
    ("scout", "fp8_e4m3", ("ROCM_ATTN",)), ("gpt_oss_20b", "bfloat16", ("TRITON_ATTN",)),
    ("mistral_small_4", "fp8_e4m3", ("TRITON_MLA",)), ("glm_5", "bfloat16", ("ROCM_AITER_MLA_SPARSE",)),
    ("gemma4_31b", "bfloat16", ("TRITON_ATTN",)), ("smollm2_135m", "turboquant_k8v4", ("TRITON_ATTN", "TURBOQUANT")),
])
@pytest.mark.parametrize("gpu", GPUS)
def test_what_serves_a_model(gpu, model, kv, served):
    capability = Hardware(compute_capability=GPUS[gpu]).capability
    shape = architecture.of(built(f"model={model}").model)
    assert attention.choice(shape, kv, capability).backends == served
    assert not attention.refusal(shape, kv, capability)


def test_what_is_refused_there():
    shape = architecture.of(built("model=scout").model)
    assert attention.refusal(shape, "nvfp4", 94.2).startswith(
        "kv.dtype: no attention backend of vLLM keeps a nvfp4 cache of this model on AMD's CDNA 3 (gfx942)"
    )
    asked = attention.Asked(version=3)
    assert "FlashAttention 3 is for compute capability 9.x" in attention.refusal(shape, "bfloat16", 95.0, asked)


@pytest.mark.parametrize("name", ["gfx90a", "sm90", "9.0.0", "-9"])
def test_another_capability_is_one_line(name):
    with pytest.raises(NiahError, match=r"hardware.compute_capability: got .*; expected a number as nvidia-smi"):
        Hardware(compute_capability=name)


def test_a_table_of_both_vendors(capsys):
    assert cli.main(["plan", "model=scout", "ctx.lengths=[1m]", "hardware=[8xh200,8xmi300x,8xmi355x]"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "8xmi3" in line]
    assert len(lines) == 4 and all(" yes " in line and line.rstrip().endswith(" -") for line in lines)
    assert cli.main(["plan", "model=scout", "ctx.lengths=[1m]", "hardware=8xmi300x"]) == 0
    said = capsys.readouterr().out
    assert "$0" not in said and "mi300x\n" not in said  # no price is known, so that it is never the cheapest
