"""Every architecture in miniature, from its config to the heatmap, and its KV cache as the plan says, to the block."""

import json

import pytest

from niah.engines.vllm.process import is_cpu_build
from tests.helpers import miniatures
from tests.helpers.engines import VARIANTS, needs_fp8
from tests.helpers.miniatures import ANSWERS, HAS_AMX, KV, LENGTHS, MINIATURES, NOT_ON_CPUS, STANDS_FOR, shrunk

QUICK = {
    ("llama4_scout", VARIANTS[-1]), ("qwen3_5_9b", VARIANTS[-1]),
}
"""Of the ways to keep keys and values chunks and states; windows beside another head width, and latents, are slow."""


def cases() -> list:
    made = []
    for name in MINIATURES:
        for kv in KV:
            marks = [pytest.mark.engine]
            if (name, kv) in NOT_ON_CPUS and is_cpu_build():
                marks.append(pytest.mark.gpu)
            if kv == "fp8":
                marks.append(needs_fp8)
            if (name, kv) not in QUICK:
                marks.append(pytest.mark.slow)
            made.append(pytest.param(name, kv, marks=marks, id=f"{name}-{kv}"))
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("miniatures")


@pytest.mark.parametrize(("name", "kv"), cases())
def test_runs_to_the_heatmap_and_holds_what_the_plan_says(name, kv, place):
    made = miniatures.run(name, kv, place)
    assert made.reported == made.planned
    assert made.engine["kv_cache_dtype"] == {"bf16": "bfloat16", "fp8": "fp8_e4m3"}[kv]
    assert (made.folder / "heatmap.png").stat().st_size > 10_000
    assert sorted((row["length"], row["depth"]) for row in made.rows) == [(n, d) for n in LENGTHS for d in (0.0, 100.0)]
    assert all(row["outcome"] in ANSWERS for row in made.rows), made.rows[0]["error"]
    assert all(row["num_prompt_tokens"] == row["length"] - 32 for row in made.rows)
    assert made.engine["prompt_tokens_counted"] == made.engine["prompt_tokens_sent"]


@pytest.mark.parametrize(("name", "other"), [(name, other) for name, others in STANDS_FOR.items() for other in others])
def test_one_miniature_stands_for_those_that_shrink_to_the_same(name, other):
    others = ("max_position_embeddings", "model_max_length", "rope_parameters", "vocab_size")
    one, two = ({key: value for key, value in shrunk(which).items() if key not in others} for which in (name, other))
    assert one == two


@pytest.mark.engine
@pytest.mark.slow
@needs_fp8
@pytest.mark.skipif(not is_cpu_build() or HAS_AMX, reason="vLLM's plain CPU kernel is what fails")
def test_failed_steps_are_recorded_and_end_the_run(place):
    """Each step of this one fails: the next prompt gets its turn, and the third failure ends the run."""
    place = place / "failing"
    place.mkdir()
    # an argument of the engine goes past our own refusal
    done = miniatures.start("deepseek_r1", "bf16", place, "engine.args={kv_cache_dtype: fp8_e4m3}")
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and f"stopped answering; {NOT_ON_CPUS['deepseek_r1', 'fp8']}; " in last
    file = place / "outputs" / "deepseek_r1-bf16" / "rows.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["outcome"], row["score"]) for row in found] == [("engine-error", None)] * 3
