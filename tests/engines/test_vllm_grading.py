"""The graded signal on a real engine: with prefix hits it equals a computation of everything."""

import re

import pytest

from tests.helpers.command import rows, run_in
from tests.helpers.engines import exact_on_cpus

pytestmark = pytest.mark.engine
GRID = ("task=multikey", "ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graded")
    done = run_in(folder, *GRID, "kv=[bf16,fp8_e5m2]", "name=warm", "engine.cold_check=0.5")
    assert done.returncode == 0, done.stderr
    same = r"control without prefix cache: (\d) of \1 answers the same, .* by at most 0$"
    assert re.search(same, done.stderr, re.MULTILINE)
    return folder


def test_every_answer_is_graded(place):
    found = rows(place / "outputs" / "warm")
    assert len(found) == 12
    for row in found:
        assert row["logprob"] <= 0 and row["worst_rank"] >= 1 and row["num_target_tokens"] >= 7
        assert row["margin"] is not None and row["served"]["kv_cache_dtype"] == row["kv_cache_dtype"]
        assert row["served"]["attention_backend"] == "CPU_ATTN" and row["served"]["torch"]
        if row["outcome"] == "correct" and row["response"].strip().startswith(row["targets"][0]):
            assert row["worst_rank"] == 1 and row["margin"] > 0  # greedy: each token was the first choice
    by_variant = {name: [row["logprob"] for row in found if row["variant"] == name] for name in ("bf16", "fp8_e5m2")}
    assert by_variant["bf16"] != by_variant["fp8_e5m2"]


@exact_on_cpus
def test_a_prefix_hit_gives_the_value_of_a_full_computation(place):
    done = run_in(place, *GRID, "name=cold", "engine.prefix_caching=false", "engine.graded=true")
    assert done.returncode == 0, done.stderr
    warm = {row["trial"]: row for row in rows(place / "outputs" / "warm") if row["variant"] == "bf16"}
    for row in rows(place / "outputs" / "cold"):
        assert row["num_cached_tokens"] == 0
        for name in ("logprob", "worst_rank", "margin", "response"):
            assert row[name] == warm[row["trial"]][name], name
