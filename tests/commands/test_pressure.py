"""`pressure` on engines with a fault that strikes in a small pool or on a warm cache, and on simulated prompts."""

import json

import numpy as np
import pytest

from niah.commands.pressure import verdict
from niah.commands.pressure.conditions import OTHERS, others, room
from niah.commands.pressure.settings import PressureSettings
from niah.commands.pressure.verdict import Pair, Scale
from niah.engines import Load
from niah.engines.vllm import VLLM
from niah.engines.vllm.process import is_cpu_build
from niah.errors import NiahError
from tests.helpers.command import rows, run_in, said

WORDS = (
    "pressure", "engine._target_=tests.helpers.pooled.Pooled", "haystack=noise", "ctx.lengths=[512]", "name=a",
    "pressure.prompts=8",
)
NAMES = (OTHERS, "preempted", "evicted", "again", "beginnings")


def found(place) -> dict:
    return json.loads((place / "a" / "pressure.json").read_text())["variants"]["bf16"]


def named(place) -> set[str]:
    return {name for name, one in found(place)["conditions"].items() if one["is_named"]}


@pytest.mark.slow
def test_a_block_of_another_prompt_is_named_and_the_run_goes_on(place, capfd):
    text = said(capfd, *WORDS, "engine.fault=stale", code=2)
    assert named(place) == {"evicted"}
    assert "the engine's: worse again after part of it was driven out of a pool for 1.5 prompts (evicted): p = " in text
    assert "8 of 8 prompts worse (8 right to wrong, 0 weaker" in text
    assert "not tested: " in text and "(restored): this engine has no offload tier" in text
    told = found(place)["conditions"]
    assert told["preempted"]["counters"]["num_preemptions"] > 0 and told["others"]["at_once"] == 4
    assert told["again"]["cached_tokens"] > 0 == told["alone"]["cached_tokens"]
    kept = [json.dumps(row) for row in rows(place / "a" / "evicted-1.5")[:4]]
    (place / "a" / "evicted-1.5" / "rows.jsonl").write_text("\n".join(kept) + "\n")
    said(capfd, *WORDS, "engine.fault=stale", code=2)  # it is continued
    again = rows(place / "a" / "evicted-1.5")
    assert [json.dumps(row) for row in again[:4]] == kept and len(again) == 8


@pytest.mark.slow
def test_what_was_driven_out_and_is_found_all_the_same_is_named(place, capfd):
    said(capfd, *WORDS, "engine.fault=kept", code=2)
    assert named(place) == {"evicted"} and found(place)["conditions"]["evicted"]["cached_tokens"] > 8 * 400


@pytest.mark.slow
def test_a_block_of_another_prompt_that_comes_back_from_memory_is_named(place, capfd):
    text = said(capfd, *WORDS, "engine.fault=restored", code=2)
    assert named(place) == {"restored"} and "from the offload tier (restored): p = " in text
    assert found(place)["conditions"]["restored"]["counters"]["external_prefix_cache_hits"] > 0


@pytest.mark.slow
def test_nothing_of_a_healthy_engine_is_named(place, capfd):
    text = said(capfd, *WORDS, "engine.fault=rounding")
    assert not named(place) and "nothing is named, with 95% confidence" in text
    assert "asked twice alone the right answer's log-probability moves by at most 0 nats" in text


def test_a_condition_that_did_not_come_about_is_not_tested(place, capfd):
    text = said(capfd, "pressure", "engine=fake", *WORDS[2:-1], "pressure.prompts=4")
    assert "no prefix-cache hit was seen" in text and "engine=fake has no setting for it" in text
    assert "nothing is named" not in text and not any(one["is_tested"] for one in found(place)["conditions"].values())
    assert "engine.replicas=1" in said(
        capfd, "pressure", "engine=fake", *WORDS[2:], "engine.replicas=2", code=1
    )


@pytest.mark.slow
def test_an_engine_that_ends_under_a_condition_is_not_done(place, capfd):
    text = said(capfd, *WORDS, "engine.fault=ends", code=5)
    assert "preempted: " in text and "out of blocks" in text and "the same command asks again" in text
    assert not named(place) and found(place)["conditions"]["again"]["is_tested"]


def prompts(rng: np.random.Generator, num: int, margin: float, rounding: float) -> dict[str, list[Pair]]:
    """The same prompts alone and under each condition: a right answer's lead over all others in nats, and rounding of
    it that differs from prompt to prompt."""
    lead, sizes = rng.normal(margin, 2, num), rounding * np.exp(rng.normal(0, 1, num))
    before = lead + rng.normal(0, sizes)
    return {
        name: [Pair(number, *pair) for number, pair in enumerate(_answers(before, lead + rng.normal(0, sizes)))]
        for name in NAMES
    }


def _answers(before: np.ndarray, after: np.ndarray) -> list[tuple[bool, bool, float, float]]:
    return [
        (bool(a > 0), bool(b > 0), -float(np.log1p(np.exp(-a))), -float(np.log1p(np.exp(-b))))
        for a, b in zip(before, after, strict=True)
    ]


def searched(pairs: dict[str, list[Pair]]) -> set[str]:
    """Names of what is named, as the verb does it."""
    scale = verdict.scale([0.0, 0.01], pairs[OTHERS], 0.95)
    alone = Scale(scale.twice).tolerance
    effects = {name: verdict.effect(own, alone if name == OTHERS else scale.tolerance) for name, own in pairs.items()}
    return {name for name, one in verdict.with_holm(effects).items() if one.is_named(0.95)}


def damaged(pairs: list[Pair], rng: np.random.Generator, share: float) -> list[Pair]:
    """A share of them with another prompt's block: wrong, and five nats weaker."""
    return [
        Pair(one.trial, one.was_right, False, one.before, one.after - 5) if rng.random() < share else one
        for one in pairs
    ]


@pytest.mark.parametrize(("margin", "rounding"), [(0.0, 0.5), (2.0, 0.05), (6.0, 0.5)])
def test_of_a_healthy_engine_nothing_is_named_but_by_chance(margin, rounding):
    rng = np.random.default_rng(5)
    num_named = sum(bool(searched(prompts(rng, 24, margin, rounding))) for _ in range(200))
    assert num_named <= 17  # of 200 at 5%: more with a chance of 1%


@pytest.mark.parametrize("name", ["evicted", "preempted"])
def test_a_simulated_block_of_another_prompt_is_named(name):
    rng = np.random.default_rng(6)
    num_found = 0
    for _ in range(40):
        pairs = prompts(rng, 24, 6.0, 0.05)
        num_found += searched({**pairs, name: damaged(pairs[name], rng, 0.6)}) == {name}
    assert num_found >= 36


def test_a_fault_among_others_is_no_rounding():
    rng = np.random.default_rng(7)
    pairs = prompts(rng, 24, 6.0, 0.02)
    both = {name: damaged(pairs[name], rng, 0.7) for name in (OTHERS, "preempted")}
    assert searched({**pairs, **both}) == {OTHERS, "preempted"}
    assert verdict.enough(5, 0.95) == 8 and verdict.effect([], 0.05).num == 0


def test_engines_are_put_under_load_by_their_own_settings():
    facts = {"block_size": 128, "num_kv_blocks": 33, "max_model_len": 2048, "kv_cache_size_tokens": 4224,
             "max_num_batched_tokens": 128}
    of = {one.name: one.load for one in others(PressureSettings(), room(facts))}
    assert of["again"] == Load() and of["preempted"] == Load(4, 25, is_small=True) and of[OTHERS] == Load(4, 65)
    args = VLLM().under(of["preempted"], 128).args
    assert args["num_gpu_blocks_override"] == 25 and args["long_prefill_token_threshold"] == 32
    assert args["scheduler_reserve_full_isl"] is False
    if is_cpu_build():
        with pytest.raises(NiahError, match="on GPUs alone"):
            VLLM().under(of["restored"], 128)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.skipif(not is_cpu_build(), reason="faults are planted in vLLM's CPU engine, which runs in this process")
@pytest.mark.parametrize(("fault", "code"), [("''", 0), ("kept", 2)])
def test_a_block_that_is_found_after_it_was_driven_out_of_vllm_is_named(tmp_path, fault, code):
    done = run_in(
        tmp_path, "pressure", "model=calibration/full", "haystack=generated", "ctx.lengths=[1k]", "name=a",
        "pressure.prompts=32", "engine._target_=tests.helpers.faulty.Faulty", f"engine.fault={fault}",
    )
    assert done.returncode == code, done.stderr
    told = found(tmp_path / "outputs")["conditions"]
    assert told["preempted"]["counters"]["num_preemptions"] > 0 and told["evicted"]["is_tested"]
    assert told["evicted"]["is_named"] == (code == 2)
