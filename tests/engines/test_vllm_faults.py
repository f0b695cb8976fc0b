"""Real vLLM in another process, as on every GPU, with faults planted in its worker: rows, exit codes, what stays."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from niah import disk
from niah.engines import watchdog
from tests.helpers.command import command, environment_with, rows
from tests.helpers.vllm_fault import variables

pytestmark = pytest.mark.engine
RUN = (
    "model=calibration/full", "haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[50]", "engine.cold_check=0",
    "name=a",
)


@pytest.fixture
def run(niah, tmp_path):
    """The run with faults planted, as ``run("oom:over=700", "engine.graded=false")``."""
    folder = tmp_path / "plugged"

    def call(faults: str, *words: str, in_another_process: bool = True, **more: str) -> subprocess.CompletedProcess:
        planted = variables(folder, *faults.split(), in_another_process=in_another_process)
        return niah(*RUN, *words, timeout=600, **planted, **more)

    return call


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "outputs" / "a"


def outcomes(folder: Path) -> Counter:
    found = rows(folder)
    assert len({(row["variant"], row["trial"]) for row in found}) == len(found)
    return Counter((row["length"], row["outcome"]) for row in found)


def facts(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())["engine"]


def last_line(done: subprocess.CompletedProcess) -> str:
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_out_of_memory_is_a_row_and_the_shorter_length_runs(run, folder):
    done = run("oom:over=700", "engine.graded=false")
    assert done.returncode == 5 and outcomes(folder) == {(512, "correct"): 1, (1024, "out-of-memory"): 1}
    failed = next(row for row in rows(folder) if row["length"] == 1024)
    assert failed["error"].startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    assert failed["finish_reason"] == "engine died" and failed["score"] is None
    assert facts(folder)["num_restarts"] == 1 and "CUDA out of memory" in last_line(done)


@pytest.mark.slow
def test_out_of_memory_in_this_process_costs_no_engine_and_what_is_left_of_others_is_named(run, folder, tmp_path):
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    record = disk.root() / "processes" / f"test-{sleeping.pid}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    held = [[sleeping.pid, watchdog.started(sleeping.pid), "VLLM::EngineCore"]]
    left = {"boot": boot, "niah": [1, 1], "since": 0, "folder": "/x/outputs/b", "processes": held}
    record.write_text(json.dumps(left))
    try:
        done = run("host_oom:over=700", in_another_process=False)
    finally:
        sleeping.kill()
        sleeping.wait()
        record.unlink()
    assert done.returncode == 5 and outcomes(folder) == {(512, "correct"): 1, (1024, "out-of-memory"): 1}
    assert "can't allocate memory" in last_line(done) and "num_restarts" not in facts(folder)
    assert f"still alive and may hold memory: pid {sleeping.pid} (VLLM::EngineCore)" in done.stderr
    assert f"run folder /x/outputs/b; end them with kill -9 {sleeping.pid}" in done.stderr


@pytest.mark.slow
def test_a_prompt_that_kills_the_engine_twice_is_a_row_and_passed_over(run, folder):
    done = run("kill:over=700", "engine.graded=false")
    assert done.returncode == 5 and outcomes(folder) == {(512, "correct"): 1, (1024, "engine-error"): 1}
    failed = next(row for row in rows(folder) if row["length"] == 1024)
    assert failed["error"].startswith("ended 2 engines; ") and "died unexpectedly (exit code: -9)" in failed["error"]
    before = (folder / "engine.log").stat().st_size
    again = run("kill:over=700", "engine.graded=false")
    assert again.returncode == 5 and last_line(again).endswith("retry=true asks these too")
    assert (folder / "engine.log").stat().st_size == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("error:once={struck}", "RuntimeError: CUDA error: an illegal memory access was encountered"),  # in step 1
        ("kill:step=20", "Worker proc VllmWorker-0 died unexpectedly"),  # in each process: while the second is read
    ],
)
def test_an_engine_that_died_once_costs_no_answer(run, folder, tmp_path, fault, words):
    done = run(fault.format(struck=tmp_path / "struck"))
    assert done.returncode == 0, done.stderr
    assert outcomes(folder) == {(512, "correct"): 1, (1024, "correct"): 1} and facts(folder)["num_restarts"] == 1
    (why,) = facts(folder)["ended_because"]
    assert why.startswith(words)
    assert facts(folder)["prompt_tokens_sent"] > facts(folder)["prompt_tokens_counted"]  # what was under way counts not


@pytest.mark.slow
def test_an_engine_that_dies_in_grading_keeps_every_answer(run, folder):
    done = run("oom:forced", "ctx.lengths=[256,512,1k]")
    assert done.returncode == 0, done.stderr
    assert outcomes(folder) == {(256, "correct"): 1, (512, "correct"): 1, (1024, "correct"): 1}
    assert all(row["logprob"] is None for row in rows(folder)) and facts(folder)["num_restarts"] == 2
    assert "forced no more: two engines ended in that" in done.stderr


@pytest.mark.slow
def test_an_engine_that_dies_as_it_is_closed_changes_nothing(run, folder):
    done = run("close:always")
    assert done.returncode == 0, done.stderr
    assert outcomes(folder) == {(512, "correct"): 1, (1024, "correct"): 1}


@pytest.mark.slow
def test_several_under_way_the_others_are_answered(run, folder):
    done = run("error:over=700", "engine.max_num_seqs=4", "ctx.depths=[0,100]", "engine.graded=false")
    assert done.returncode == 5 and outcomes(folder)[(512, "correct")] == 2, done.stderr


@pytest.mark.slow
def test_lengths_that_the_cache_has_no_room_for_do_not_fit(run, folder):
    done = run("", "engine.args.num_gpu_blocks_override=6")
    assert done.returncode == 0, done.stderr
    assert outcomes(folder) == {(512, "correct"): 1, (1024, "does-not-fit"): 1}
    assert facts(folder)["max_model_len"] == 512
    unfit = next(row for row in rows(folder) if row["length"] == 1024)
    assert unfit["error"].startswith("the engine has room for 640 tokens; ValueError: To serve at least one request")


@pytest.mark.slow
@pytest.mark.parametrize("in_another_process", [True, False])
def test_the_cause_of_a_failed_start_is_the_one_line(run, in_another_process):
    words = "Free_memory_on_device_cuda:0_(1.0/79.1_GiB)_on_startup_is_less_than_desired"
    done = run(f"start:{words}", in_another_process=in_another_process)
    assert done.returncode == 1
    told = f"niah: engine=vllm: did not start; RuntimeError: {words.replace('_', ' ')}; another process holds that"
    assert last_line(done).startswith(told)


@pytest.fixture
def begun(tmp_path, folder):
    """The run as a process that has got so far; with the processes below it."""

    started: list[subprocess.Popen] = []

    def start(is_running: bool) -> tuple[subprocess.Popen, list[psutil.Process]]:
        process = subprocess.Popen(
            command(*RUN, "ctx.repeats=500"), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, env=environment_with(**variables(tmp_path / "plugged")),
        )
        started.append(process)
        deadline = time.monotonic() + 400
        while not (engines := engines_of(process.pid)) or (is_running and not (folder / "rows.jsonl").exists()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        return process, engines

    yield start
    for process in started:
        process.kill()
        process.communicate()


def engines_of(pid: int) -> list[psutil.Process]:
    """Engine processes below a run; its watchdog and the tracker of shared memory end by themselves."""
    found = []
    for one in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if not any(word in " ".join(one.cmdline()) for word in ("watchdog.py", "resource_tracker")):
                found.append(one)
    return found


def wait_until_gone(processes: list[psutil.Process], mark: str) -> None:
    deadline = time.monotonic() + 60
    while any(watchdog.started(one.pid) and one.is_running() for one in processes) or watchdog.marked(mark):
        assert time.monotonic() < deadline, "an engine outlived its run"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("is_running", "sent"),
    [
        (True, signal.SIGKILL), pytest.param(False, signal.SIGKILL, marks=pytest.mark.slow),
        *(pytest.param(is_running, sent, marks=pytest.mark.slow) for is_running in (True, False)
          for sent in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)),
    ],
)
def test_no_engine_outlives_its_run(begun, is_running, sent):
    process, engines = begun(is_running)
    mark = f"{process.pid}:{watchdog.started(process.pid)}"
    at = time.monotonic()
    os.kill(process.pid, sent)
    if sent == signal.SIGINT:
        time.sleep(0.3)
        os.kill(process.pid, sent)  # whoever is in a hurry presses it twice
    process.wait(timeout=100)
    ended = time.monotonic() - at
    wait_until_gone(engines, mark)
    print(f"{signal.Signals(sent).name}: run ended after {ended:.2f} s, its engine after {time.monotonic() - at:.2f} s")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == (-sent if sent == signal.SIGKILL else 130) and "Traceback" not in errors
