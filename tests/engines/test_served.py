"""What rows say of the engine: told by its workers, wherever they live, and equal to what they hold."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from niah.engines.vllm import served
from niah.engines.vllm.worker import PATH, UNKNOWN, Witness
from niah.errors import NiahError
from niah.records import EngineFacts
from niah.runs import resume
from niah.runs.store import RunFolder
from tests.helpers import foretold, scaled
from tests.helpers.command import command, environment_with, rows
from tests.helpers.engines import classes_of_gpus, exact_on_cpus, needs_fp8

FULL = {
    "kind": "full_attention", "backend": "FLASH_ATTN", "block_size": 16, "kernel_block_size": 16, "num_layers": 2,
    "kv_cache_dtype": "fp8_e4m3", "head_size": 128, "flash_attn_version": 3, "queries_quantized": True,
    "scales": [1.0, 1.0],
}
MAMBA = {"kind": "mamba", "backend": "GDN_ATTN", "block_size": 528, "num_layers": 6}


def told(rank=0, stage=0, layers=(FULL,), **other):
    """What a worker says."""
    return {
        "rank": rank, "stage": stage, "layers": [dict(layer) for layer in layers], "block_size": 16,
        "kv_cache_dtype": "fp8_e4m3", "prefix_caching": True, "compilation": "VLLM_COMPILE",
        "cuda_graphs": "FULL_AND_PIECEWISE", "async_scheduling": True, "model_runner": "V2", "load_format": "auto",
        "gpu": "NVIDIA H100 80GB HBM3", "vllm": "0.32.0", **other,
    }


def changed(**other):
    return {name: value for name, value in {**FULL, **other}.items() if value is not None}


@pytest.mark.parametrize(
    ("layer", "scales"),
    [
        (FULL, "1.0"),
        (changed(scales=[0.02, 1.5]), "checkpoint"),
        (changed(scales=[1.0, 1.5]), "checkpoint"),
        (changed(scales=None), UNKNOWN),
        (changed(scales_are_computed=True), UNKNOWN),
        (changed(kv_cache_dtype="bfloat16"), None),
        (changed(kv_cache_dtype="auto"), None),
        (changed(kv_cache_dtype="fp8_per_token_head"), "per token and head"),
        (changed(kv_cache_dtype="turboquant_4bit_nc"), "the format's own"),
        (changed(kv_cache_dtype="fp8_ds_mla"), "the format's own"),
        (changed(kv_cache_dtype="nvfp4", scales=[0.5, 0.5]), "checkpoint, and one a block"),
    ],
)
def test_where_scales_come_from(layer, scales):
    assert served.of_workers([told(layers=[layer])])["kv_scales"] == scales


def test_random_weights_have_no_scales_of_a_checkpoint():
    facts = served.of_workers([told(layers=[changed(scales=[0.1, 0.2])], load_format="dummy")])
    assert facts["kv_scales"] == "random"


def test_layers_of_several_kinds():
    window = changed(kind="sliding_window", backend="TRITON_ATTN", flash_attn_version=None, queries_quantized="prefill")
    wide = changed(head_size=512, flash_attn_version=4, kv_cache_dtype="auto", queries_quantized=False, scales=None)
    facts = served.of_workers([told(layers=[FULL, window, wide, MAMBA])])
    assert facts["attention_backend"] == "FLASH_ATTN+TRITON_ATTN"
    assert facts["flash_attn_version"] == "3+4"
    assert facts["queries_quantized"] == "False and True and prefill"
    assert facts["kv_scales"] == "1.0"
    assert [layer["kind"] for layer in facts["attention_layers"]] == [
        "full_attention", "sliding_window", "full_attention", "mamba",
    ]


def test_a_model_without_attention():
    facts = served.of_workers([told(layers=[MAMBA])])
    assert (facts["attention_backend"], facts["queries_quantized"], facts["kv_scales"]) == (None, None, None)


def test_what_one_layer_cannot_say_nobody_says():
    facts = served.of_workers([told(layers=[FULL, changed(flash_attn_version=UNKNOWN, queries_quantized=UNKNOWN)])])
    assert facts["flash_attn_version"] == facts["queries_quantized"] == UNKNOWN


def test_workers_that_agree_but_for_the_scales_of_their_heads():
    other = changed(scales=[0.5, 2.0])
    facts = served.of_workers([told(1, layers=[changed(scales=[0.25, 1.0])]), told(0, layers=[other])])
    assert facts["kv_scales"] == "checkpoint" and "workers_disagree" not in facts
    assert facts["attention_layers"] == [changed(scales=[0.25, 2.0])]


def test_workers_that_disagree_say_so_and_nothing_is_chosen():
    other = changed(backend="TRITON_ATTN", flash_attn_version=None)
    facts = served.of_workers([told(0), told(1, layers=[other], gpu="NVIDIA H200")])
    assert facts["attention_backend"] == facts["attention_layers"] == facts["gpu"] == UNKNOWN
    assert facts["workers_disagree"]["attention_backend"] == "FLASH_ATTN; TRITON_ATTN"
    assert facts["workers_disagree"]["gpu"] == "NVIDIA H100 80GB HBM3; NVIDIA H200"
    assert facts["kv_scales"] == "1.0"  # on that they agree


def test_stages_of_a_pipeline_hold_other_layers():
    last = changed(backend="FLASHINFER", flash_attn_version=None, queries_quantized="prefill", num_layers=3)
    facts = served.of_workers([told(0), told(1), told(2, 1, [FULL, last]), told(3, 1, [FULL, last])])
    assert facts["attention_backend"] == "FLASHINFER+FLASH_ATTN" and "workers_disagree" not in facts
    assert [(layer["backend"], layer["num_layers"]) for layer in facts["attention_layers"]] == [
        ("FLASH_ATTN", 4), ("FLASHINFER", 3),
    ]
    assert "prefix_caching" not in facts  # the scheduler's, which lives with none of several workers


def test_an_extension_of_the_users_own_is_left_alone():
    assert served.extension({}) == {"worker_extension_cls": PATH}
    for arguments in ({"worker_extension_cls": "mine.Worker"}, {"distributed_executor_backend": "ray"}, {"nnodes": 2}):
        assert served.extension(arguments) == {}


def test_a_worker_that_cannot_say_raises_nothing():
    assert list(json.loads(Witness().niah_testimony())) == ["trouble"]


class Workers:
    """vLLM's LLM as far as it is asked: ``call`` is what its collective call does."""

    def __init__(self, call, extension=PATH):
        self.llm_engine = SimpleNamespace(
            vllm_config=SimpleNamespace(parallel_config=SimpleNamespace(worker_extension_cls=extension))
        )
        self.collective_rpc = call


def _raises(method):
    raise RuntimeError(f"Call to {method} method failed")


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (_raises, "RuntimeError: Call to niah_testimony method failed"),
        (lambda method: [json.dumps(told()), json.dumps({"trouble": "KeyError: mode"})], "worker 1: KeyError: mode"),
    ],
)
def test_a_call_that_fails_is_a_reason_and_no_end(call, why):
    assert served._testimonies(Workers(call)) == why
    assert served._testimonies(Workers(lambda method: [json.dumps(told())])) == [told()]
    assert "another extension" in served._testimonies(Workers(_raises, extension="mine.Extension"))


@pytest.mark.slow
def test_a_call_that_never_returns_is_given_up():
    assert served._testimonies(Workers(lambda method: threading.Event().wait())) == "no answer in 60 s"


def facts_with(**other):
    return {
        "tensor_parallel_size": 1, "attention_backend": "FLASH_ATTN", "flash_attn_version": 3, "kv_scales": "1.0",
        "queries_quantized": True, "told_by": "workers", **other,
    }


def test_a_run_is_not_continued_with_other_attention(tmp_path):
    folder = RunFolder(tmp_path)
    resume.check_same_engine(EngineFacts(facts_with()), facts_with(), folder)
    for other in ({"attention_backend": "TRITON_ATTN"}, {"kv_scales": "checkpoint"}, {"queries_quantized": False}):
        with pytest.raises(NiahError, match=next(iter(other))):
            resume.check_same_engine(EngineFacts(facts_with()), facts_with(**other), folder)
    unknown = facts_with(attention_backend=UNKNOWN, told_by="nobody: no answer in 60 s")
    resume.check_same_engine(EngineFacts(facts_with()), unknown, folder)


def test_a_run_of_an_older_niah_is_continued_and_its_guess_is_named(tmp_path):
    """It took "checkpoint" for every quantized cache whose engine was another process."""
    older = facts_with(kv_scales="checkpoint", queries_quantized=None, attention_backend="TRITON_ATTN")
    del older["told_by"]
    resume.check_same_engine(EngineFacts(older), facts_with(), RunFolder(tmp_path))
    note = resume.note_of_scales(EngineFacts(older), facts_with())
    assert "kv_scales checkpoint" in note and "hold 1.0" in note
    assert not resume.note_of_scales(EngineFacts({**older, "kv_scales": "1.0"}), facts_with())
    assert not resume.note_of_scales(EngineFacts(facts_with()), facts_with())


HOPPER = {
    # model, KV dtype, word: backend, version of FlashAttention, queries, scales
    ("smollm2_135m", "bf16", ""): ("FLASH_ATTN", 3, False, None),
    ("smollm2_135m", "fp8", ""): ("FLASH_ATTN", 3, True, "1.0"),
    ("smollm2_135m", "fp8", "engine.attention=flashinfer"): ("FLASHINFER", None, "prefill", "1.0"),
    ("smollm2_135m", "fp8_per_token_head", ""): ("TRITON_ATTN", None, False, "per token and head"),
    ("smollm2_135m", "turboquant_k8v4", ""): ("FLASH_ATTN+TURBOQUANT", 2, False, "the format's own"),
    ("gemma4_e2b", "fp8", ""): ("FLASH_ATTN", "3+4", "False and True", "1.0"),  # layers of 512 read them as they are
    ("qwen3_5_0_8b", "fp8", ""): ("FLASH_ATTN", 3, True, "1.0"),  # and states, which are no cache
    ("mistral_small_4", "fp8", ""): ("FLASHMLA", 3, "decode", "1.0"),
    ("glm_5", "fp8", ""): ("FLASHMLA_SPARSE", 3, UNKNOWN, "the format's own"),
    ("deepseek_r1", "bf16", ""): ("FLASH_ATTN_MLA", UNKNOWN, False, None),
}


@pytest.mark.slow
@pytest.mark.engine
@classes_of_gpus
def test_what_workers_on_a_hopper_gpu_say():
    """vLLM's own layers of its CUDA classes, made without weights (tests/helpers/vllm_choices.py)."""
    each = foretold.told("h100", list(HOPPER))
    facts = [served.of_workers([told(layers=layers)]) for layers in each]
    names = ("attention_backend", "flash_attn_version", "queries_quantized", "kv_scales")
    assert [tuple(one[name] for name in names) for one in facts] == list(HOPPER.values())


PROBE = """
import json, sys
from vllm import LLM

def held(worker):
    layers = worker.vllm_config.compilation_config.static_forward_context
    return json.dumps({
        "module": type(worker.model_runner).__module__,
        "scales": [[float(one._k_scale), float(one._v_scale)] for one in layers.values()],
        "backends": sorted({one.attn_backend.get_name() for one in layers.values()}),
        "dtypes": sorted({one.kv_cache_dtype for one in layers.values()}),
        "query_quant": [one.query_quant is not None for one in layers.values()],
        "blocks": [group.kv_cache_spec.block_size for group in worker.model_runner.kv_cache_config.kv_cache_groups],
    })

if __name__ == "__main__":
    llm = LLM(
        model=sys.argv[1], kv_cache_dtype=sys.argv[2], max_model_len=512, max_num_batched_tokens=128, block_size=128,
        max_num_seqs=1, kv_cache_memory_bytes=2**27, skip_tokenizer_init=True, enforce_eager=True, dtype="bfloat16",
    )
    print("held:", *llm.collective_rpc(held))
"""


def run_of(place: Path, folder: Path, name: str, kv: str, **variables: str) -> dict[str, dict]:
    """``served`` of the rows of a run, by variant: all rows of a variant say the same."""
    from niah.models.resolve import files_of
    from tests.helpers.tokenizers import SMOLLM2

    words = (
        f"model.path={folder}", f"model.tokenizer={files_of(SMOLLM2).folder}", "model.max_length=2k",
        "ctx.lengths=[512]", "ctx.depths=[50]", f"kv={kv}", "engine.kv_cache_memory_gib=0.125", f"name={name}",
        "engine.cold_check=0",
    )
    done = subprocess.run(
        command(*words), cwd=place, env=environment_with(**variables), capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    found = rows(place / "outputs" / name)
    by_variant = {row["variant"]: row["served"] for row in found}
    assert all(row["served"] == by_variant[row["variant"]] for row in found)
    return by_variant


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    place = tmp_path_factory.mktemp("checkpoints")
    return {has: scaled.written(place / str(has), has_scales=has) for has in (True, False)}


@pytest.mark.engine
@exact_on_cpus  # named backends: on GPUs vLLM chooses them
@needs_fp8
@pytest.mark.slow
def test_rows_of_an_engine_in_another_process_say_what_its_worker_holds(tmp_path, checkpoints):
    """bf16 and fp8 of a checkpoint with scales, the worker's own layers asked by another way."""
    found = run_of(tmp_path, checkpoints[True], "scaled", "[bf16,fp8]", VLLM_ENABLE_V1_MULTIPROCESSING="1")
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    done = subprocess.run(
        [sys.executable, str(probe), str(checkpoints[True]), "fp8_e4m3"], capture_output=True, text=True, timeout=400,
        env=environment_with(VLLM_ENABLE_V1_MULTIPROCESSING="0", OMP_NUM_THREADS=str(os.cpu_count())),
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("held:")), done.stderr)
    held = json.loads(line.removeprefix("held:"))
    assert held["scales"] == [list(pair) for pair in zip(*scaled.SCALES.values(), strict=True)]
    plain, fp8 = found["bf16"], found["fp8"]
    assert plain["told_by"] == fp8["told_by"] == "workers"
    assert (plain["kv_scales"], fp8["kv_scales"]) == (None, "checkpoint")
    (layers,) = fp8["attention_layers"]
    flat = [scale for pair in held["scales"] for scale in pair]
    assert layers["scales"] == [min(flat), max(flat)] and layers["num_layers"] == len(held["scales"])
    assert fp8["attention_backend"] == "+".join(held["backends"]) == "CPU_ATTN"
    assert [layers["kv_cache_dtype"]] == held["dtypes"] and [layers["block_size"]] == held["blocks"]
    assert fp8["queries_quantized"] == plain["queries_quantized"] == any(held["query_quant"]) is False
    assert fp8["model_runner"] == "V1" and held["module"] == "vllm.v1.worker.cpu_model_runner"


@pytest.mark.engine
@pytest.mark.slow
@exact_on_cpus
@needs_fp8
@pytest.mark.parametrize("has_scales", [True, False])
def test_rows_say_the_same_in_this_process_and_in_another(tmp_path, checkpoints, has_scales):
    folder = checkpoints[has_scales]
    kv = "[bf16,fp8]" if has_scales else "[bf16,fp8,fp8_e5m2]"
    here = run_of(tmp_path, folder, "here", kv)
    there = run_of(tmp_path, folder, "there", kv, VLLM_ENABLE_V1_MULTIPROCESSING="1")
    assert here == there
    assert {one["kv_scales"] for name, one in here.items() if name != "bf16"} == {"checkpoint" if has_scales else "1.0"}


@pytest.mark.engine
@pytest.mark.slow
@needs_fp8
def test_an_engine_that_cannot_be_asked_runs_all_the_same(tmp_path, checkpoints):
    """An extension of the user's own: nothing is guessed."""
    (tmp_path / "mine.py").write_text("class Extension:\n    def mine(self):\n        return 1\n")
    from niah.models.resolve import files_of
    from tests.helpers.tokenizers import SMOLLM2

    words = (
        f"model.path={checkpoints[False]}", f"model.tokenizer={files_of(SMOLLM2).folder}", "model.max_length=2k",
        "ctx.lengths=[512]", "ctx.depths=[50]", "kv=fp8", "engine.kv_cache_memory_gib=0.125", "name=own",
        "engine.args.worker_extension_cls=mine.Extension",
    )
    path = f"{environment_with()['PYTHONPATH']}{os.pathsep}{tmp_path}"
    done = subprocess.run(
        command(*words), cwd=tmp_path, env=environment_with() | {"PYTHONPATH": path}, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path / "outputs" / "own")
    assert row["served"]["kv_scales"] == row["served"]["attention_backend"] == UNKNOWN
    assert row["served"]["told_by"].startswith("nobody: the workers have another extension")
    assert row["served"]["kv_cache_dtype"] == "fp8_e4m3" and row["outcome"] == "wrong"
