"""Several prompts at once: what they share of the prefix cache by vLLM's own scheduler, and a real engine with four."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.command import REPOSITORY, environment_with, rows, run_in

pytestmark = pytest.mark.engine


def found(architecture: str, *cases: str) -> list[tuple[list[int], int, int]]:
    """Of each case: cached tokens of every prompt, the most prompts in a step, how often one was thrown out."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.scheduling", architecture, *cases], cwd=REPOSITORY, text=True,
        capture_output=True, env={**os.environ, **environment_with(), "VLLM_LOGGING_LEVEL": "ERROR"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[[")]


@pytest.mark.parametrize("name", [
    "smollm2_135m", pytest.param("llama4_scout", marks=pytest.mark.slow),
])
def test_prompts_at_once_find_what_they_find_one_by_one(name):
    """With room for no more than those at once: the later of two begins when all of the earlier one is scheduled."""
    (alone, one, _), *others = found(name, "1:1.1", "2:2.1", "4:4.1", "16:16.1")
    assert one == 1 and sum(alone) > 0
    assert [most for _, most, _ in others] == [2, 4, 16]
    assert all(cached == alone and not preempted for cached, _, preempted in others)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma3_4b", "gemma4_31b", "qwen3_5_9b"])
def test_layers_that_forget_find_more_with_room_for_two(name):
    """And no less at once than one by one, where there is room for all."""
    cases = found(name, "1:1.05", "1:2", "1:20", "16:20")
    (little, _, _), (two, _, preempted), (much, _, _), (at_once, most, _) = cases
    assert sum(little) < 0.6 * sum(much) and 0.7 * sum(much) < sum(two) < sum(much) and not preempted
    assert most > 4 and sum(at_once) >= sum(much)


@pytest.mark.slow
def test_four_prompts_at_once_by_a_real_engine(tmp_path):
    """Every trial is answered and graded, reads as much from the cache as one by one, and says how it was served; what
    goes on is served as it began."""
    grid = ("ctx.lengths=[512]", "ctx.depths=[0,50,100]", "ctx.repeats=2", "engine.cold_check=0")
    for name, number in (("one", 1), ("four", 4)):
        room = "engine.kv_cache_memory_gib=0.25"
        done = run_in(tmp_path, *grid, f"name={name}", f"engine.max_num_seqs={number}", room)
        assert done.returncode == 0, done.stderr
    one, four = (sorted(rows(tmp_path / "outputs" / name), key=lambda row: row["trial"]) for name in ("one", "four"))
    for key in ("prompt_sha256", "num_prompt_tokens", "num_cached_tokens"):
        assert [row[key] for row in one] == [row[key] for row in four], key
    assert sum(row["num_cached_tokens"] for row in one) > 0 and all(row["logprob"] is not None for row in four)
    assert all(row["served"]["max_num_seqs"] == 4 for row in four)
    assert all("max_num_seqs" not in row["served"] for row in one)  # as rows of earlier versions
    file = tmp_path / "outputs/four/rows.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))
    stored = json.loads((tmp_path / "outputs/four/run.json").read_text())
    assert stored["engine"]["max_num_seqs"] == 4
    done = run_in(tmp_path, *grid, "name=four", "engine.max_num_seqs=4", room)
    assert done.returncode == 0 and "2 of 6 trials to run" in done.stderr, done.stderr
    assert len(rows(tmp_path / "outputs" / "four")) == 6
