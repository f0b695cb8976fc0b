"""engine=openai against a real HTTP server that fails: what is tried again, kept and recorded, and what goes on."""

import json
import signal
import socket
import subprocess
import time
from collections import Counter

import pytest

from tests.helpers.command import command, comparable, environment_with, is_one_line, rows
from tests.helpers.http_server import GRID, Server, folder, record

FAST = ("engine.timeout_seconds=4", "engine.timeout_seconds_per_1k=0")


def test_every_fault_is_tried_again_and_no_row_is_there_twice(niah, tmp_path):
    faults = {1: "429", 3: "500", 5: "half", 7: "closed", 9: "garbage", 11: "hang", 13: "429-date"}
    with Server(faults) as server:
        done = niah(*GRID, *server.words, *FAST)
    assert done.returncode == 0, done.stderr
    found = rows(folder(tmp_path))
    assert Counter(row["trial"] for row in found) == Counter(range(10))
    assert {row["outcome"] for row in found} == {"correct"}
    assert len(server.bodies) == 10 + len(faults)
    assert server.times[2] - server.times[1] >= 1.0  # Retry-After: 1
    assert server.times[14] - server.times[13] >= 1.5  # a date three seconds away, whole seconds
    engine = record(tmp_path)["engine"]
    assert sum(engine["retried"].values()) == len(faults)
    assert {"HTTP 429": 2, "HTTP 500": 1, "half an answer": 2, "timeout": 1}.items() <= engine["retried"].items()
    assert all(row["num_prompt_tokens"] == row["length"] - 32 for row in found)
    assert all(0 < row["first_token_seconds"] <= row["seconds"] < 4 for row in found)  # of the try that worked
    sent = sum(row["num_prompt_tokens"] for row in found)
    assert engine["prompt_tokens_counted"] == engine["prompt_tokens_sent"] == sent


@pytest.mark.slow
def test_what_fails_for_good_is_recorded_and_the_same_command_continues(niah, tmp_path):
    settings = (*GRID, *FAST, "engine.max_retries=0")
    with Server({2: "500", 5: "count", 8: "half"}) as server:
        done = niah(*settings, *server.words)
        assert done.returncode == 5 and "3 of 10 trials ended without an answer" in done.stderr
        first = rows(folder(tmp_path))
        failed = [row for row in first if row["outcome"] == "engine-error"]
        assert len(first) == 10 and len(failed) == 3
        assert any("7 tokens" in row["error"] or "of the" in row["error"] for row in failed)
        assert all(row["score"] is None for row in failed)
        server.faults = {}
        done = niah(*settings, *server.words)
    assert done.returncode == 0, done.stderr
    found = rows(folder(tmp_path))
    assert Counter(row["trial"] for row in found) == Counter(range(10))
    assert {row["outcome"] for row in found} == {"correct"}
    kept = {row["trial"]: row for row in first if row["outcome"] == "correct"}
    assert all(row == kept[row["trial"]] for row in found if row["trial"] in kept)


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle(niah, tmp_path):
    settings = (*GRID, *FAST, "engine.max_retries=1", "engine.wait_seconds=0")
    with Server(die_after=4) as server:
        done = niah(*settings, *server.words)
        assert done.returncode == 1
        assert "gave no answer to 3 prompts in a row" in done.stderr and "Traceback" not in done.stderr
    kept = [row for row in rows(folder(tmp_path)) if row["outcome"] == "correct"]
    assert len(kept) == 4
    done = niah(*settings, *server.words)
    assert done.returncode == 1 and "does not answer" in done.stderr.splitlines()[-1]
    with Server(port=server.port) as server:
        done = niah(*settings, *server.words)
    assert done.returncode == 0, done.stderr
    found = rows(folder(tmp_path))
    assert Counter(row["trial"] for row in found) == Counter(range(10))
    assert [row for row in found if row["trial"] in {k["trial"] for k in kept}] == kept
    with Server() as server:
        assert niah(*GRID[:-2], "name=b", *GRID[-1:], *FAST, "engine.max_retries=1", *server.words).returncode == 0

    def other(found: list[dict]) -> list[dict]:
        return [{**row, "num_cached_tokens": 0} for row in sorted(comparable(found), key=lambda row: row["trial"])]

    assert other(found) == other(rows(tmp_path / "outputs" / "b"))


@pytest.mark.slow
def test_trials_that_fail_each_time_keep_no_other_from_its_turn(niah, tmp_path):
    settings = (*GRID, "engine.max_retries=0")
    with Server(dict.fromkeys((0, 1, 2, 10, 11, 12), "500")) as server:
        assert "gave no answer to 3 prompts in a row" in niah(*settings, *server.words).stderr
        assert len(rows(folder(tmp_path))) == 3
        done = niah(*settings, *server.words)
    assert done.returncode == 5 and "3 of 10 trials ended without an answer" in done.stderr, done.stderr
    assert Counter(row["outcome"] for row in rows(folder(tmp_path))) == {"correct": 7, "engine-error": 3}


def test_nobody_there(niah, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = niah(*GRID, "engine=openai", f"engine.base_url=http://127.0.0.1:{port}/v1", "engine.wait_seconds=0")
    assert done.returncode == 1 and is_one_line(done)
    assert "does not answer" in done.stderr and "engine.wait_seconds" in done.stderr


def test_a_wait_that_is_too_long_is_an_error_at_once(niah, tmp_path):
    with Server({0: "429-long"}) as server:
        done = niah(*GRID, *server.words, "engine.max_wait_seconds=5")
    assert done.returncode == 5
    (failed,) = [row for row in rows(folder(tmp_path)) if row["outcome"] == "engine-error"]
    assert "asks to wait 3600 s" in failed["error"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["429-long", "500", "hang"])
def test_a_server_that_answers_nothing_at_first_is_not_taken_for_one_without_ids(niah, tmp_path, fault):
    with Server({-1: fault}) as server:
        done = niah(*GRID, *server.words, *FAST, "engine.max_retries=1", "model.answer_prefix=false")
        assert done.returncode == 1 and "does not answer; " in done.stderr.splitlines()[-1], done.stderr
        assert not server.bodies
        checked = niah("serve-check", server.words[1], *FAST, "engine.max_retries=0", "model=smollm2_135m")
    assert checked.returncode == 0
    assert checked.stdout.count("refused: no answer, ") == 2  # text it refuses by its own word


@pytest.mark.slow
def test_what_was_tried_again_is_kept_for_every_session(niah, tmp_path):
    settings = (*GRID, *FAST, "engine.max_retries=1", "engine.wait_seconds=0")
    with Server({1: "500"}, die_after=4) as server:
        assert niah(*settings, *server.words).returncode == 1
    first = record(tmp_path)
    assert first["engine"]["retried"]["HTTP 500"] == 1 and first["engine"]["num_answers"] == 3
    with Server({0: "429"}, port=server.port) as server:
        assert niah(*settings, *server.words).returncode == 0
    last = record(tmp_path)
    assert last["engine"]["retried"] == {"HTTP 429": 1}
    assert [session["retried"]["bf16"] for session in last["sessions"]] == [first["engine"]["retried"], {"HTTP 429": 1}]


@pytest.mark.slow
@pytest.mark.parametrize("name", [True, False])
def test_a_run_goes_on_with_more_patience(niah, tmp_path, name):
    settings = [word for word in GRID if name or not word.startswith("name=")]
    with Server({2: "500", 14: "500"}, key="sk-1") as server:
        words = (*settings, *server.words)
        assert niah(*words, "engine.max_retries=0", "engine.api_key_env=ONE", ONE="sk-1").returncode == 5
        (place,) = (tmp_path / "outputs").iterdir()
        kept = {row["trial"]: row for row in rows(place) if row["outcome"] == "correct"}
        assert len(kept) == 9
        if name:  # a run stored when fingerprints held these keys too
            stored = json.loads((place / "run.json").read_text())
            (place / "run.json").write_text(json.dumps({**stored, "fingerprint": "0" * 64}))
            done = niah(*words, "engine.stream=false", "engine.api_key_env=ONE", ONE="sk-1")
            assert done.returncode == 1 and "engine.stream (there True, now False)" in done.stderr
            assert "api_key_env" not in done.stderr
        patience = ("engine.max_retries=2", "engine.timeout_seconds=9", "engine.api_key_env=OTHER")
        done = niah(*words, *patience, OTHER="sk-1")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "outputs").iterdir()) == [place]
    found = {row["trial"]: row for row in rows(place)}
    assert len(found) == 10 and all(found[trial] == row for trial, row in kept.items())


def stopped(tmp_path, server, num_bodies: int) -> None:
    """Runs until the server has that many prompts, then sends SIGTERM: it ends before the server would answer."""
    process = subprocess.Popen(
        command(*GRID, *server.words), cwd=tmp_path, env=environment_with(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(server.bodies) < num_bodies and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in errors


def test_a_stop_signal_ends_a_run_at_once_and_keeps_its_rows(niah, tmp_path):
    with Server({4: "hang"}) as server:
        stopped(tmp_path, server, 5)
        assert len(rows(folder(tmp_path))) == 4
        assert niah(*GRID, *server.words).returncode == 0
    assert Counter(row["trial"] for row in rows(folder(tmp_path))) == Counter(range(10))


@pytest.mark.slow
def test_a_control_sample_that_was_cut_short_goes_on(niah, tmp_path):
    with Server({10: "hang"}, cached_tokens=5) as server:
        stopped(tmp_path, server, 11)
        assert len(rows(folder(tmp_path))) == 10 and record(tmp_path)["control_due"] == ["bf16"]
        done = niah(*GRID, *server.words)
        assert done.returncode == 0 and len(server.bodies) == 12, done.stderr
        assert "only the rest of the control sample to run" in done.stderr and "1 of 1 answers the same" in done.stderr
        assert record(tmp_path)["control_due"] == []
        done = niah(*GRID, *server.words)
    assert "all 10 trials were done before" in done.stderr and len(server.bodies) == 12


@pytest.mark.slow
@pytest.mark.parametrize("name", [True, False])
def test_a_finished_run_needs_no_server(niah, tmp_path, name):
    grid = [word for word in GRID if name or not word.startswith("name=")]
    with Server() as server:
        assert niah(*grid, *server.words).returncode == 0
    (place,) = (tmp_path / "outputs").iterdir()
    (place / "heatmap.svg").unlink()
    words = (*grid, *server.words, "engine.wait_seconds=0")
    done = niah(*words)
    assert done.returncode == 0 and "all 10 trials were done before" in done.stderr, done.stderr
    assert (place / "heatmap.svg").is_file()
    for more in ("ctx.repeats=2", "task.num_keys=3 task=multikey"):
        other = niah(*words, *more.split())
        assert other.returncode == 1 and "does not answer" in other.stderr.splitlines()[-1], other.stderr
    assert list((tmp_path / "outputs").iterdir()) == [place]


@pytest.mark.slow
def test_a_run_with_a_failed_trial_is_not_finished(niah, tmp_path):
    with Server({2: "500"}) as server:
        assert niah(*GRID, *server.words, "engine.max_retries=0").returncode == 5
    done = niah(*GRID, *server.words, "engine.wait_seconds=0")
    assert done.returncode == 1 and "does not answer" in done.stderr.splitlines()[-1]
    assert "done before" not in done.stderr
