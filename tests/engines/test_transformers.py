"""The second engine: it reads what vLLM reads, reuses beginnings exactly, and refuses what it has not."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from niah.engines import Job, Traced
from niah.engines.transformers import Transformers
from niah.errors import NiahError
from niah.models.resolve import files_of
from niah.planner import backends, transformers
from niah.planner.hardware import Hardware
from niah.records import Failure, Forced, Prompt
from niah.runs import capacity
from tests.helpers.command import environment_with, rows
from tests.helpers.configs import built
from tests.helpers.machines import KNOWN
from tests.helpers.tokenizers import SMOLLM2, load_tokenizer

HERE = Hardware("auto", "this machine: no NVIDIA GPU", 24.0)
H100 = next(one for one in KNOWN if one.name == "h100")
TEXT = "The special magic number for Lima is 1116562. Grass is green and the sky is blue. "


def opened(kv: str = "bfloat16", model=SMOLLM2, name: str = "smollm2", **settings):
    files = files_of(model)
    job = Job(files, load_tokenizer(name), "bfloat16", kv, 2048, 0)
    return Transformers(chunk_tokens=64, **settings).open(job)


LIMA = "Question? The special magic number for Lima is"
GRASS = "Question? Grass is green. The special magic number for Lima is"


def prompt(name: str = "smollm2", times: int = 12, ending: str = LIMA, **more: str) -> Prompt:
    tokenizer = load_tokenizer(name)
    ids = np.asarray([*tokenizer.first_ids, *tokenizer.encode(TEXT * times + ending).ids], dtype=np.int32)
    right = np.asarray(tokenizer.encode(" 1116562").ids, dtype=np.int32)
    forced = Forced(right, 0, ((1, int(tokenizer.encode("9").ids[-1])),))
    return Prompt(ids, (), 12, "", forced=forced, **more)


def ask(session, *prompts: Prompt) -> list:
    return [result for _, result in session.generate(enumerate(prompts))]


@pytest.fixture(scope="module")
def smollm2():
    session = opened()
    yield session
    session.close()


def test_answers_and_tells_what_it_weighed(smollm2):
    (one,) = ask(smollm2, prompt())
    assert isinstance(one, Traced) and one.text.startswith(" 1116562") and one.num_prompt_tokens == len(prompt().ids)
    assert len(one.steps) == one.num_tokens
    for step in one.steps:
        assert max(step.values()) == next(iter(step.values())) <= 0 and len(step) >= 20
    assert one.finish_reason in ("stop", "length") and 0 < one.first_token_seconds <= one.seconds
    assert one.grade.worst_rank == 1 and -1 < one.grade.logprob < 0 < one.grade.margin


@pytest.mark.slow
def test_a_grade_that_fails_leaves_the_answer(smollm2):
    plain, broken = prompt(), replace(prompt(), forced=Forced(np.asarray([5, 10**6, 5], dtype=np.int32), 0))
    whole, one, after = ask(smollm2, plain, broken, plain)
    assert one.text == whole.text and one.grade is None and one.not_graded.startswith("IndexError: ")
    assert after.grade.logprob == whole.grade.logprob and after.not_graded == ""
    (narrow,) = ask(smollm2, replace(plain, forced=None, targets=("1116562",)))
    assert narrow.not_graded.startswith("no room for the right answer within the answer's 12 tokens")


@pytest.mark.slow
def test_a_reused_beginning_gives_the_value_of_a_full_computation(smollm2):
    first, second = prompt(), prompt(ending=GRASS)
    warm = ask(smollm2, first, second, first)
    cold = [ask(smollm2, prompt(salt=f"{n}", ending=ending))[0] for n, ending in enumerate((LIMA, GRASS))]
    assert warm[1].num_cached_tokens > 0 and warm[1].num_cached_tokens % 64 == 0 and warm[2].num_cached_tokens > 0
    assert [one.num_cached_tokens for one in cold] == [0, 0]
    for one, other in ((warm[0], cold[0]), (warm[1], cold[1]), (warm[2], cold[0])):
        assert one.steps == other.steps
        assert replace(one.grade, seconds=0.0) == replace(other.grade, seconds=0.0)


def test_grading_equals_one_pass_over_prompt_and_answer(smollm2):

    one = prompt()
    (found,) = ask(smollm2, one)
    ids = torch.as_tensor(np.concatenate([one.ids, one.forced.ids]).astype(np.int64))
    with torch.inference_mode():
        logits = smollm2._network(ids[None]).logits[0, len(one.ids) - 1 : -1].float().log_softmax(-1)
    whole_pass = float(logits.gather(1, ids[len(one.ids) :, None]).sum())
    assert found.grade.logprob == pytest.approx(whole_pass, abs=0.1)  # other pieces, other rounding


def test_a_failing_prompt_is_recorded_and_the_next_one_answered(smollm2):
    broken = prompt()
    broken.ids[5] = 10**6  # no such token
    failed, answered = ask(smollm2, broken, prompt())
    assert isinstance(failed, Failure) and "\n" not in failed.message
    assert isinstance(answered, Traced)


@pytest.mark.slow
@pytest.mark.parametrize("kv", ["fp8_e4m3", "fp8_e5m2", "float32"])
def test_other_number_formats_are_kept_in_the_cache(kv):
    session = opened(kv)
    (one,) = ask(session, prompt(times=4))
    layers = session._past.cache.layers
    names = {"float32": "torch.float32", "fp8_e4m3": "torch.float8_e4m3fn", "fp8_e5m2": "torch.float8_e5m2"}
    assert {str(layer.keys.dtype) for layer in layers} == {names[kv]}
    assert layers[0].keys.shape[-2] == len(prompt(times=4).ids)
    assert session.facts()["kv_cache_dtype"] == kv and one.text.startswith(" 111")
    session.close()


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "bfloat16"])
def test_rounding_is_to_the_nearest_or_towards_zero(dtype):

    from niah.engines.transformers.cache import CastLayer

    kept = getattr(torch, dtype)
    states = torch.randn(1, 1, 4096, 4, generator=torch.Generator().manual_seed(0)) * 4
    found = {}
    for truncates in (False, True):
        layer = CastLayer()
        layer.kept, layer.truncates = kept, truncates
        found[truncates], _ = layer.update(states, states)
        assert found[truncates].dtype == states.dtype
        assert torch.equal(found[truncates].to(kept).to(states.dtype), found[truncates])
    assert (found[True].abs() <= states.abs()).all()
    assert torch.equal(found[True].sign().abs() * states.sign(), found[True].sign())
    assert (found[False].abs() > states.abs()).float().mean() > 0.3  # half of them are rounded up
    assert ((found[False] - states).abs() <= (found[True] - states).abs()).all()
    layer = CastLayer()
    layer.kept = kept
    huge, _ = layer.update(states * 1e38, states)
    assert torch.isfinite(huge.double()).all()


KERNEL = """
import sys, torch
from niah.engines.transformers.cache import _KEPT, CastLayer
kernels, kv = sys.argv[1:]
torch.ops.load_library(kernels)
states = (torch.randn(32, 1, 64, generator=torch.Generator().manual_seed(0)) * 3).to(torch.bfloat16)
keys, values = (torch.zeros(1, 1, 32, 64, dtype=torch.uint8) for _ in range(2))
torch.ops._C.cpu_attn_reshape_and_cache(states, states, keys, values, torch.arange(32), "vec", 1.0, 1.0, kv)
theirs = values.view(_KEPT[kv])[0, 0].float()
for truncates in (True, False):
    layer = CastLayer()
    layer.kept, layer.truncates = _KEPT[kv], truncates
    ours, _ = layer.update(states[None, :, 0].unsqueeze(1), states[None, :, 0].unsqueeze(1))
    print(torch.equal(ours[0, 0].float(), theirs))
"""


@pytest.mark.parametrize("kv", ["fp8_e4m3", "fp8_e5m2"])
def test_truncation_is_what_vllms_cpu_kernel_does(kv):
    # in a process of its own: a library that vLLM has loaded there already cannot be loaded again
    found = importlib.util.find_spec("vllm")
    kernels = found and Path(found.origin).parent / "_C_AVX512.abi3.so"
    if not kernels or not kernels.is_file() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("no vLLM kernels for this processor")
    done = subprocess.run(
        [sys.executable, "-c", KERNEL, str(kernels), kv], capture_output=True, text=True, env=environment_with()
    )
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize("kv", ["hqq_int8", "quanto_int4"])
def test_quantized_caches_of_transformers(kv):
    pytest.importorskip({"hqq": "hqq", "quanto": "optimum.quanto"}[kv.partition("_")[0]])
    session = opened(kv)
    one, again = ask(session, prompt(times=4), prompt(times=4))
    assert one.grade.logprob == again.grade.logprob and again.num_cached_tokens == 0
    session.close()


@pytest.mark.engine
@pytest.mark.slow
def test_sliding_windows_are_read_whole_and_graded_from_the_prompt():
    from tests.helpers.tokenizers import GEMMA3

    values = []
    for chunk in (64, 2048):
        job = Job(files_of(GEMMA3), load_tokenizer("gemma3"), "bfloat16", "bfloat16", 4096, 0)
        session = Transformers(chunk_tokens=chunk, dtype="float32").open(job)
        one, again = ask(session, prompt("gemma3", times=30), prompt("gemma3", times=30))
        assert again.num_cached_tokens == 0 and one.steps == again.steps  # windows forget: nothing is reused
        assert len(prompt("gemma3", times=30).ids) > 512  # the window
        values.append(one.grade.logprob)
        session.close()
    assert values[0] == pytest.approx(values[1], abs=0.01)  # chunks of 64 see what one pass sees


def refused(*words: str, hardware: Hardware = HERE) -> str:
    with pytest.raises(NiahError) as caught:
        capacity.check(built("engine=transformers", *words), hardware)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_say_what_works():
    text = refused("kv=int8_per_token_head")
    assert "keeps no int8_per_token_head cache; expected one of bfloat16, float16, float32, fp8_e4m3" in text
    text = refused("model=gemma3_270m", "kv=hqq_int4")
    assert "quantizes full attention alone; model=gemma3_270m has sliding layers" in text
    assert "needs an NVIDIA GPU of compute capability 8.0" in refused("engine.attention=flash_attention_2")
    assert "is a cache of engine=transformers" in refused("engine=vllm", "kv=hqq_int8")
    text = refused("engine.attention=paged")
    assert "engine.attention: got 'paged'; expected one of sdpa, eager, flash_attention_2" in text
    if not transformers._is_installed("flash_attn"):
        text = refused("engine.attention=flash_attention_2", hardware=H100)
        assert "flash-attn is not installed; pip install --no-build-isolation 'niah[flash]'" in text
    if not transformers._is_installed("hqq"):
        assert "pip install 'niah[quant]'" in refused("kv=hqq_int8")
    assert "no length of this run fits engine=transformers" in refused("model=scout", "ctx=32k")


def test_vllm_is_never_asked_for_a_cache_of_transformers():
    assert {*backends.ELSEWHERE_KEPT} == {*transformers.CAST_BITS, *transformers.QUANTIZED_BITS} - {*backends.DTYPES}


def test_memory_counts_every_layer_whole():
    run = built("engine=transformers", "model=smollm2_135m", "ctx.lengths=[8k]")
    holding = run.engine.holding(run.model, "bfloat16", HERE)
    from niah.planner import architecture

    shape = architecture.of(run.model)
    # layers, keys and values, heads, width, tokens, bytes
    assert transformers.need(shape, holding, 8192)["KV cache"] == 30 * 2 * 3 * 64 * 8192 * 2
    half = transformers.need(shape, run.engine.holding(run.model, "fp8", HERE), 8192)
    assert half["KV cache"] * 2 == transformers.need(shape, holding, 8192)["KV cache"] and half["weights"] > 2 * 134e6
    eager = run.engine.holding(run.model, "bfloat16", HERE).__class__("bfloat16", "bfloat16", "eager", 256)
    least = transformers.need(shape, holding, 8192)["else"] + 9 * 256 * 8192 * 4
    assert transformers.need(shape, eager, 8192)["else"] > least


@pytest.mark.slow
def test_a_model_that_transformers_does_not_know_is_one_line(niah, tmp_path):
    import shutil

    folder = tmp_path / "odd"
    shutil.copytree(files_of(SMOLLM2).folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no_such_model"}))
    done = niah(
        "engine=transformers", f"model.path={folder}", "model.max_length=2k", "ctx.lengths=[512]", "ctx.depths=[50]"
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "engine=transformers: the model did not load" in last and "no_such_model" in last
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.engine
def test_the_same_ids_and_nearly_the_same_grades_as_vllm(niah, tmp_path):
    grid = ("ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]", "task=multikey")
    for engine in ("vllm", "transformers"):
        assert niah(*grid, f"engine={engine}", f"name={engine}").returncode == 0
    first, second = (
        {row["trial"]: row for row in rows(tmp_path / "outputs" / name)} for name in ("vllm", "transformers")
    )
    hashes = [{n: row["prompt_sha256"] for n, row in found.items()} for found in (first, second)]
    assert hashes[0] == hashes[1]
    for n, row in first.items():
        assert row["logprob"] == pytest.approx(second[n]["logprob"], abs=0.1)
        assert row["score"] == second[n]["score"] and row["num_target_tokens"] == second[n]["num_target_tokens"]


@pytest.mark.gpu
@pytest.mark.parametrize("attention", transformers.ATTENTION)
def test_kernels_on_a_gpu(attention):
    if attention == "flash_attention_2":
        pytest.importorskip("flash_attn")
    session = opened(attention=[attention])
    (one,) = ask(session, prompt())
    assert one.text.startswith(" 1116562") and session.facts()["device"].startswith("cuda")
    session.close()
