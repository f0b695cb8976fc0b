"""One run under several KV dtypes and backends: the same prompts, kept apart in rows and files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from niah.errors import NiahError
from niah.prompts import forced_answer
from niah.prompts.recipe import Recipe
from niah.records import Problem
from niah.runs import capacity, control
from niah.runs.variants import variants
from tests.helpers.command import rows
from tests.helpers.configs import built as configured
from tests.helpers.machines import eight
from tests.helpers.tokenizers import load_tokenizer

FAKE = ("engine=fake", "ctx.lengths=[1k,4k]", "ctx.depths=[0,50,100]")


def test_variants_are_named_by_what_differs():
    assert [one.name for one in variants(configured())] == ["bf16"]
    found = variants(configured("kv=[bf16,fp8,fp8_e5m2]"))
    assert {one.name: one.kv.dtype for one in found} == {"bf16": "bfloat16", "fp8": "fp8_e4m3", "fp8_e5m2": "fp8_e5m2"}
    found = variants(configured("kv=[bf16,fp8]", "engine.attention=[flash_attn,triton]", "engine.flash_attn_version=3"))
    assert [one.name for one in found] == ["bf16 FLASH_ATTN", "bf16 TRITON_ATTN", "fp8 FLASH_ATTN", "fp8 TRITON_ATTN"]
    assert {tuple(one.engine.flash_attn_version) for one in found} == {(3,)}
    assert [one.name for one in variants(configured("kv=fp8", "engine.attention=triton"))] == ["fp8"]
    wish = found[1].engine.wish()
    assert wish.backend == "TRITON_ATTN" and wish.flash_attn_version == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kv=[bf16,bf17]"], "kv=bf17: no such choice; did you mean kv=bf16"),
        (["kv=[bf16,bf16]"], "kv: bf16 is named twice"),
        (["kv=[]"], "kv: got \\[\\]; expected at least one"),
        (["kv.also=[{dtype: fp8}]"], "kv.also: got .* expected name and dtype"),
        (["engine.attention=flesh"], "engine.attention: got 'flesh'; expected one of FLASH_ATTN"),
        (["engine.flash_attn_version=5"], "engine.flash_attn_version: got 5; expected one of 2, 3, 4"),
        (["engine.cold_check=2"], "engine.cold_check: got 2; expected a share from 0 to 1"),
    ],
)
def test_bad_variants_are_refused(words, message):
    with pytest.raises(NiahError, match=message):
        variants(configured(*words))


def test_one_run_holds_the_same_prompts_under_each(niah, tmp_path):
    done = niah(*FAKE, "kv=[bf16,fp8]", "name=a")
    assert done.returncode == 0, done.stderr
    assert "12 of 12 trials to run" in done.stderr
    found = rows(tmp_path / "outputs" / "a")
    by_variant = {
        name: {row["trial"]: row["prompt_sha256"] for row in found if row["variant"] == name}
        for name in ("bf16", "fp8")
    }
    assert by_variant["bf16"] == by_variant["fp8"] and len(by_variant["fp8"]) == 6
    assert {(row["variant"], row["kv_cache_dtype"]) for row in found} == {("bf16", "bfloat16"), ("fp8", "fp8_e4m3")}
    content = json.loads((tmp_path / "outputs" / "a" / "run.json").read_text())
    assert list(content["engines"]) == ["bf16", "fp8"] and content["plan"]["variants"] == ["bf16", "fp8"]
    assert "all 12 trials were done before" in niah(*FAKE, "kv=[bf16,fp8]", "name=a").stderr
    other = niah(*FAKE, "kv=bf16", "kv.dtype=float16", "name=a").stderr
    assert "other settings: kv.bf16 (there 'bfloat16', now 'float16')" in other


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_each_variant_was(niah, tmp_path):
    done = niah(*FAKE, "kv=[bf16,fp8]", "name=b", "engine.fail_at=[2]")
    assert done.returncode == 5
    again = niah(*FAKE, "kv=[bf16,fp8]", "name=b", "engine.fail_at=[2]")
    assert "2 of 12 trials to run" in again.stderr
    found = rows(tmp_path / "outputs" / "b")
    assert len({(row["variant"], row["trial"]) for row in found}) == len(found) == 12


def test_a_length_that_fits_under_one_variant_alone():
    fits = capacity.check(configured("model=scout", "ctx.lengths=[8m,10m]", "kv=[bf16,fp8]"), eight("h100"))
    assert set(fits["bf16"].unfit) == {8 * 2**20, 10 * 2**20} and fits["bf16"].refusal
    assert fits["fp8"].unfit == {} and not fits["fp8"].refusal
    with pytest.raises(NiahError, match="no length of this run fits"):
        capacity.check(configured("model=scout", "ctx.lengths=[8m,10m]"), eight("h100"))


@pytest.mark.parametrize("name", ["smollm2", "llama4", "qwen3_5", "gemma3"])
def test_forced_ids_are_the_answer_and_rivals_part_from_it(name):
    tokenizer = load_tokenizer(name)
    problem = Problem(
        ("The code of the red door is 7531946.",), "?", ("7531946",), "The code of the red door is",
        distractors=("7531000", "2531946", "75"),
    )
    made = forced_answer.forced(tokenizer, problem, begun=False, max_tokens=32)
    assert tokenizer.decode(made.ids) == "The code of the red door is 7531946"
    assert tokenizer.decode(made.ids[made.start :]).strip() == "7531946"
    begun = forced_answer.forced(tokenizer, problem, begun=True, max_tokens=32)
    assert tokenizer.decode(begun.ids) == " 7531946" and np.array_equal(made.ids[-len(begun.ids) :], begun.ids)
    for place, token in begun.rivals:
        assert place < len(begun.ids) and token != begun.ids[place]
    assert len(begun.rivals) >= 2
    problem_in_chinese = Problem((), "?", ("蓝色大象",), "里斯本的暗号是")
    chinese = forced_answer.forced(tokenizer, problem_in_chinese, begun=True, max_tokens=32)
    assert tokenizer.decode(chinese.ids) == "蓝色大象"
    assert forced_answer.forced(tokenizer, Problem((), "?", ()), begun=False, max_tokens=32) is None
    room = len(begun.ids) + 1  # for the token that an engine writes itself
    alone = forced_answer.forced(tokenizer, problem, begun=False, max_tokens=room)
    assert np.array_equal(alone.ids, begun.ids) and alone.start == begun.start  # no room for the beginning
    assert forced_answer.forced(tokenizer, problem, begun=False, max_tokens=room - 1) is None


@pytest.mark.parametrize("task", ["single", "multikey", "chain", "count", "ordered"])
@pytest.mark.parametrize("language", ["en", "de", "ar", "ja"])
def test_a_forced_answer_fits_where_the_answer_would(task, language):
    words = ("haystack=generated", f"haystack.language={language}", "ctx.lengths=[4k]", "ctx.depths=[50]")
    recipe = Recipe(configured("model=scout", f"task={task}", *words))
    made = recipe.build(recipe.trials[0]).prompt
    assert made.forced is not None
    assert len(made.ids) + len(made.forced.ids) + 1 <= 4096


def test_controls_are_drawn_from_cached_answers_and_once():
    from tests.helpers.runs import ROW

    made = [
        replace(ROW, trial=i, variant="fp8", num_cached_tokens=256 * (i % 2), prompt_sha256=f"{i}", score=1.0)
        for i in range(60)
    ]
    first = control.sample(made, 0.05, [], "fp8")
    assert len(first) == 3 and all(row.num_cached_tokens for row in first)
    done = [{"variant": "fp8", "trial": row.trial} for row in first[:2]]
    assert control.sample(made, 0.05, done, "fp8") == first[2:]
    assert control.sample(made, 0.0, [], "fp8") == [] and control.sample(made, 0.02, [], "bf16") == []
    assert len(control.sample(made[:3], 0.02, [], "fp8")) == 1  # one at least


def test_a_difference_is_called_a_fault_of_the_engine():
    same = {"variant": "fp8", "trial": 3, "is_same": True, "logprob": -1.0, "cold_logprob": -1.25}
    assert control.sentence([same]) == (
        "control without prefix cache: 1 of 1 answers the same, the right answer's log-probability by at most 0.25"
    )
    text = control.sentence([same, {**same, "trial": 7, "is_same": False}])
    assert "1 of 2 answers differ (fp8 trial 7)" in text and "a fault of the engine, not of the model" in text
    assert control.sentence([]) == ""
