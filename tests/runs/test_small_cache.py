"""The order of a repeat where the cache has room for one prompt: no block of the trie is computed twice, in a simulated
pool, by vLLM's own scheduler, and by a real engine."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import trie
from niah.models.resolve import config_of
from niah.models.settings import Model
from niah.planner import architecture, cpu, memory
from niah.planner.memory import Setup
from niah.runs.beginnings import Beginnings, depth_first
from tests.helpers.command import REPOSITORY, environment_with, rows, run_in, said

BLOCK, ANSWER = 4, 3
PROMPTS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=30), min_size=1, max_size=10)


def computed(rule, prompts: list[np.ndarray], size: int = BLOCK, answer: int = ANSWER) -> int:
    """With room for the longest prompt alone."""
    return sum(map(len, prompts)) - sum(rule(prompts, size, trie.room_for(prompts, size, answer), answer))


def walked(prompts: list[np.ndarray], size: int = BLOCK) -> list[np.ndarray]:
    counted = Beginnings(size)
    return [prompts[place] for place in depth_first([counted.digests(ids) for ids in prompts])]


@given(PROMPTS)
def test_a_walk_through_the_trie_computes_it_once(found):
    prompts = [np.array(ids, dtype=np.int32) for ids in found]
    counted, walk = Beginnings(BLOCK), walked(prompts)
    bound = sum(counted.needed(0, ids) for ids in prompts)
    assert computed(trie.least_recently_used, walk) == computed(trie.belady, walk) == bound
    assert bound <= computed(trie.belady, prompts) <= computed(trie.least_recently_used, prompts)
    assert [ids.tolist() for ids in walked(walk)] == [ids.tolist() for ids in walk]


def two_lengths() -> list[np.ndarray]:
    """Several needles at shares of the length: two lengths have little in common, and by depth they take turns."""
    made = []
    text = np.random.default_rng(0).integers(10, 30_000, 1024)
    for depth in (100, 75, 50, 25, 0):
        for length in (1024, 512):
            own, ids = np.random.default_rng(depth + length), text[:length].copy()
            for share in (10, 40, 70):
                place = share * length // 100
                ids[place : place + 8] = 30_000 + share
            place = min(depth * length // 100, length - 48)
            ids[place : place + 16] = own.integers(10, 30_000, 16)
            ids[-32:] = own.integers(10, 30_000, 32)
            made.append(ids.astype(np.int32))
    return made


@pytest.mark.parametrize(("words", "is_grid"), [
    (("run",), True),
    (("run", "budget=30m", "ctx.repeats=2"), False),
    (("decide", "kv=[bf16,fp8]", "decide.most=1"), False),
    (("frontier", "frontier.most=1"), False),
    (("pressure", "pressure.prompts=4"), False),
    (("edges", "edges.texts=2"), False),
])
def test_only_a_grid_is_said_to_go_through_the_trie(place, capfd, words, is_grid):
    text = said(
        capfd, *words, "engine._target_=tests.helpers.planned.Planned", "engine=fake", "engine.window=9999", "ctx=8k",
        "ctx.lengths=[256,640]", "haystack=noise", "name=a", "report.formats=[]", "report.page=false",
    )
    assert "GiB at the longest length" in text
    assert ("go depth first" in text, "to compute" in text) == (is_grid, is_grid or words[0] == "edges")


@pytest.mark.engine
@pytest.mark.slow
def test_the_simulated_pool_is_vllms(tmp_path):
    prompts, answer = two_lengths(), 24  # as tests/helpers/scheduling.py has it
    num_blocks = 68  # 1.05 of the 66 that the longest takes, without the null block
    for order, name in ((prompts, "grid"), (walked(prompts, 16), "trie")):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps([ids.tolist() for ids in order]))
        done = subprocess.run(
            [sys.executable, "-m", "tests.helpers.scheduling", "smollm2_135m", str(file), "1:1.05"], cwd=REPOSITORY,
            text=True, capture_output=True, env={**os.environ, **environment_with(), "VLLM_LOGGING_LEVEL": "ERROR"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[[")))[0]
        simulated = trie.least_recently_used(order, 16, num_blocks, answer)
        assert told == simulated, name
    counted = Beginnings(16)
    bound = sum(counted.needed(0, ids) for ids in prompts)
    lost = sum(trie.least_recently_used(prompts, 16, num_blocks, answer))
    assert sum(map(len, prompts)) - sum(told) == bound < sum(map(len, prompts)) - lost


@pytest.mark.engine
@pytest.mark.slow
def test_a_real_engine_with_room_for_one_prompt(tmp_path):
    model = Model(name="a", path="calibration:full", max_length=8192)
    shape = architecture.read(config_of(model), "config.json")
    setup = cpu.served(shape, Setup(cache_dtype="bfloat16"), 2048)
    room = memory.pool(shape, setup).required_bytes(2048, setup.in_flight, prefix_caching=True)
    words = (
        "model=calibration/full", "task=multikey", "task.num_keys=8", "ctx.lengths=[512,1k,2k]",
        "ctx.depths=[0,25,50,75,100]", "haystack=noise", "engine.cold_check=0", "report.formats=[]",
        "report.page=false", "name=a", f"engine.kv_cache_memory_gib={room / 2**30:.9f}",
    )
    done = run_in(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "outputs" / "a" / "run.json").read_text())
    facts, tokens = made["engine"], made["sessions"][-1]["tokens"]["bf16"]
    assert 2048 <= facts["kv_cache_size_tokens"] < 2048 + 3 * facts["block_size"], facts
    assert tokens["computed"] == tokens["needed"] < tokens["sent"], tokens
    assert [row["trial"] for row in rows(tmp_path / "outputs" / "a")] != sorted(range(15), reverse=True)
    assert "room for 1.0 prompts" in done.stderr
