"""Real vLLM with drafts: the same answers as without, what was taken of them, and a draft that nobody checked."""

import json

import pytest

from niah.engines.vllm.process import is_cpu_build
from tests.helpers import checkpoints
from tests.helpers.command import rows, run_in

pytestmark = pytest.mark.engine
in_this_process = pytest.mark.skipif(
    not is_cpu_build(), reason="the fault is planted in vLLM's CPU engine, which runs in this process"
)
MODEL = ("model=calibration/full", "haystack=noise")
"""It copies the needle, so that what n-grams draft is what it writes."""


@pytest.mark.slow
def test_drafts_are_counted_and_change_no_answer(tmp_path):
    """N-grams of the prompt, and a smaller model that knows nothing; with prefix cache and a control sample without."""
    draft = checkpoints.written(tmp_path / "draft")
    done = run_in(
        tmp_path, *MODEL, "spec=[none,ngram,draft_model]", f"spec.model={draft}", "spec.num_speculative_tokens=4",
        "ctx.lengths=[512,1k]", "ctx.depths=[0,100]", "report.formats=[]", "name=a",
    )
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "outputs" / "a")
    each = ("bf16", "bf16 ngram", "bf16 draft_model")
    none, ngram, model = ([row for row in found if row["variant"] == name] for name in each)
    for key in ("prompt_sha256", "response", "outcome", "num_completion_tokens", "logprob", "margin"):
        assert [row[key] for row in ngram] == [row[key] for row in none], key
    assert [row["response"] for row in model] == [row["response"] for row in none]
    assert all(row["logprob"] is not None for row in found) and all("num_drafts" not in row for row in none)
    for row in (*ngram, *model):
        assert 0 <= row["num_accepted_tokens"] <= row["num_draft_tokens"] <= 4 * row["num_drafts"]
        assert row["num_cached_tokens"] is not None and row["served"]["speculation"]["num_speculative_tokens"] == 4
    assert sum(row["num_accepted_tokens"] for row in ngram) > 0  # an answer stands in the prompt
    engines = json.loads((tmp_path / "outputs" / "a" / "run.json").read_text())["engines"]
    assert "speculation" not in engines["bf16"] and "drafts_counted" not in engines["bf16"]
    for name, own in ((each[1], ngram), (each[2], model)):
        counted = engines[name]["drafts_counted"]  # before the control sample
        keys = {"num_steps": "num_drafts", "num_tokens": "num_draft_tokens", "num_accepted": "num_accepted_tokens"}
        assert counted == {key: sum(row[column] for row in own) for key, column in keys.items()}
    controls = [json.loads(line) for line in (tmp_path / "outputs/a/controls.jsonl").read_text().splitlines()]
    assert {one["variant"] for one in controls} == {*each} and all(one["is_same"] for one in controls)


@in_this_process
@pytest.mark.slow
def test_drafts_that_nobody_checks_are_named_by_the_paired_verdict(tmp_path):
    done = run_in(
        tmp_path, *MODEL, "engine._target_=tests.helpers.faulty_drafts.FaultyDrafts", "engine.unchecked_from=900",
        "spec=[none,ngram]", "spec.prompt_lookup_min=1", "spec.prompt_lookup_max=1",  # what follows any "is"
        "ctx.lengths=[512,1k]", "ctx.depths=[50]", "ctx.repeats=20", "engine.cold_check=0",
        "engine.graded=false", "report.formats=[]", "report.page=false", "name=a",
    )
    assert done.returncode == 0, done.stderr
    told = run_in(tmp_path, "compare", "outputs/a", "report.page=false").stdout
    assert "bf16 ngram loses" in told and "at 1K" in told and "pairs have another answer" in told
