"""`edges` on an engine with a fault at a border, and on simulated models: the pattern is named, or there is none."""

import json

import pytest

from benchmarks.edges import FAULTS, HEALTHY, MANY, ROOM, answers, damaged, simulated
from niah.commands.edges import patterns
from niah.commands.edges.design import AGAIN, COLD, design
from niah.engines.vllm.process import is_cpu_build
from niah.errors import NiahError
from niah.planner.borders import PERIOD, WINDOW, Border
from niah.stats import classes
from tests.helpers.command import rows, run_in, said

WORDS = (
    "edges", "engine._target_=tests.helpers.bordered.Bordered", "haystack=generated", "ctx.lengths=[420]", "name=a",
    "edges.texts=4",
)


def named(place) -> list[str]:
    return [one["name"] for one in json.loads((place / "a" / "edges.json").read_text())["variants"]["bf16"]["found"]]


def test_a_fault_is_named_by_its_pattern_and_the_run_goes_on(place, capfd):
    text = said(capfd, *WORDS, "engine.fault=length", code=2)
    assert {*named(place)} == {"the prompt's length is 3 mod 4"}
    assert "wrong only where the prompt's length is 3 mod 4: p = " in text and " 0 of " in text
    found = rows(place / "a")
    assert {row["num_prompt_tokens"] % 16 for row in found} == {*range(16)} and len(found) == 96
    kept = [json.dumps(row) for row in found[:50]]
    (place / "a" / "rows.jsonl").write_text("\n".join(kept) + "\n")
    said(capfd, *WORDS, "engine.fault=length", code=2)  # it is continued
    again = rows(place / "a")
    assert [json.dumps(row) for row in again[:50]] == kept and len(again) == 96


@pytest.mark.slow
def test_a_hits_fault_is_named_and_a_healthy_engine_has_none(place, capfd):
    text = said(capfd, *WORDS, "engine.fault=hit", code=2)
    assert "wrong only where a prefix-cache hit leaves 4 to 10 tokens to compute: p = " in text
    text = said(capfd, *WORDS[:-2], "name=b", "edges.texts=2")
    assert "no pattern, with 95% confidence" in text and "would have been found with 80%: " in text


@pytest.mark.parametrize(("words", "message"), [
    (("ctx.lengths=[300]",), "too short to tell lengths apart"),
    (("task=chain",), "edges: task=chain"), (("reader=bm25",), "reader=bm25 leaves text out"),
    (("ctx.share=depths",), "expected ctx.share=none"), (("edges.nothing=0",), "edges.nothing: unknown key"),
])
def test_what_it_cannot_do_is_one_line(place, capfd, words, message):
    assert message in said(capfd, *WORDS, *words, code=1)


NAMES = {
    "wrong at length = 3 mod 4": "the prompt's length is 3 mod 4",
    "first blocks at residues 0 to 8 mod 16": "the prompt's length is 0 to 8 mod 16",
    "after a hit that leaves 4 to 10": "a prefix-cache hit leaves 4 to 10 tokens to compute",
    "last partial block lost": "the answer lies in the last, partial 128 tokens (KV block and prefill step)",
    "last 3 of a window": "the answer lies 1 to 3 tokens from the end of the window of 1,024",
    "beyond index_topk": "the prompt reaches beyond token 2,048 (index_topk)",
}


@pytest.mark.parametrize("fault", NAMES)
def test_a_simulated_fault_is_named(fault):
    borders, strikes = FAULTS[fault]
    (made, rng), = simulated(1, borders, 4000, 5)
    trials = answers(made, HEALTHY[1], rng, 4096)
    assert not classes.search(patterns.scopes(trials, borders), 0.05).found
    found = classes.search(patterns.scopes(damaged(trials, strikes, is_weak=False), borders), 0.05).found
    assert [one.name for one in found] == [NAMES[fault]]


@pytest.mark.parametrize("off", [-1, 1])
def test_a_window_of_all_layers_is_expected_to_end_where_it_does(off):
    own = [Border("sliding window", WINDOW, 1024, "config.json", is_everywhere=True)]
    (made, rng), = simulated(1, own, 4000, 5)
    trials = answers(made, HEALTHY[1], rng, 4096)

    def seen(window: int) -> list:
        lost = damaged(trials, lambda one: one.num_tokens - 1 - one.answer >= window, is_weak=False)
        return classes.search(patterns.scopes(lost, own), 0.05).found

    assert not seen(1024)
    name = {-1: "the answer lies in the last token of the window of 1,024",
            1: "(found, though) it lies in the first token beyond the window of 1,024"}[off]
    assert [one.name for one in seen(1024 + off)] == [name]


def test_the_design_goes_through_every_residue_and_border():
    made = design(MANY, ROOM, 8160, 8, 0)
    cold = {one.num_tokens for one in made.asked if one.zone == COLD}
    again = [one for one in made.asked if one.zone == AGAIN]
    assert len(again) == 96 and {num % 16 for num in cold} == {*range(16)}
    ends = {one.num_tokens % 128 for one in made.asked}
    assert {*range(17), 125, 126, 127} <= ends
    depths = {(made.depth(one), one.num_tokens, one.repeat) for one in made.asked}
    assert len(depths) == len(made.asked) and not made.left_out
    assert design([Border("chunk", PERIOD, 8192, "")], ROOM, 8160, 8, 0).left_out
    with pytest.raises(NiahError, match="at least 384"):
        design([], ROOM, 300, 8, 0)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.skipif(not is_cpu_build(), reason="faults are planted in vLLM's CPU engine, which runs in this process")
@pytest.mark.parametrize(("words", "code", "name"), [
    ((), 0, ""),
    (("engine.fault=length",), 2, "the prompt's length is 3 mod 4"),
    (("engine.fault=first_blocks",), 2, "the prompt's length is 0 to 8 mod 16"),
    (("engine.fault=hit",), 2, "a prefix-cache hit leaves 4 to 10 tokens to compute"),
    (("engine.fault=partial",), 2, "the answer lies in the last, partial 128 tokens (KV block and prefill step)"),
    (("engine.fault=one_scale", "engine.scale=64", "kv=[bf16,fp8]"), 2, "the variant is fp8, not bf16"),
])
def test_a_fault_planted_in_vllm_is_named(tmp_path, words, code, name):
    done = run_in(
        tmp_path, "edges", "model=calibration/full", "haystack=generated", "ctx.lengths=[2k]", "name=a", *words,
        "engine._target_=tests.helpers.faulty.Faulty",
    )
    assert done.returncode == code, done.stderr
    assert (f"wrong only where {name}" if name else "no pattern, with 95% confidence") in done.stdout
