"""What an engine starts ends with its run, whatever ends that; what is left all the same the next command names."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from niah.engines import processes, watchdog
from tests.helpers.command import environment_with

SLEEP = f"{sys.executable!r}, '-c', 'import time; time.sleep(600)'"
OWNER = f"""
import os, subprocess, sys, time
from pathlib import Path
from niah.engines import processes
with processes.watched(Path("folder")):
    nested = "import subprocess, time; print(subprocess.Popen([{SLEEP}]).pid, flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", nested], stdout=subprocess.PIPE, text=True)
    print(child.pid, child.stdout.readline().strip(), flush=True)
    {{rest}}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(watchdog.MARK, raising=False)
    return tmp_path / "cache" / "processes"


def owner(rest: str) -> tuple[subprocess.Popen, list[int]]:
    """A process with a child and a grandchild, as niah with its engine core and a worker; and these two."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(rest=rest)], stdout=subprocess.PIPE, text=True, env=environment_with()
    )
    assert process.stdout
    return process, [int(pid) for pid in process.stdout.readline().split()]


def wait_until(is_so) -> None:
    deadline = time.monotonic() + 300
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def recorded(cache: Path, pids: list[int]) -> bool:
    return any(all(f"[{pid}, " in file.read_text() for pid in pids) for file in cache.glob("*.json"))


@pytest.mark.parametrize("has_seen", [True, False])
def test_children_at_any_depth_end_with_a_killed_run(cache, has_seen):
    """Also when it is killed before the watchdog has looked: then they bear the mark."""
    process, pids = owner("time.sleep(600)")
    if has_seen:
        wait_until(lambda: recorded(cache, pids))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(map(watchdog.started, pids)))
    wait_until(lambda: not list(cache.glob("*.json")))
    assert not processes.left_behind()


def test_a_run_that_was_gone_before_its_watchdog_began(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    start = watchdog.started(gone.pid)
    gone.kill()
    gone.wait()
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env=environment_with(**{watchdog.MARK: f"{gone.pid}:{start}"}),
    )
    words = (watchdog.__file__, str(gone.pid), str(start), str(tmp_path / "record.json"))
    assert subprocess.run([sys.executable, "-I", "-S", *words], timeout=300).returncode == 0
    assert child.wait(timeout=300) == -signal.SIGKILL


@pytest.mark.slow
def test_children_of_a_run_that_failed_end_with_its_process(cache):
    process, pids = owner("raise SystemExit(3)")
    assert process.wait(timeout=300) == 3
    wait_until(lambda: not any(map(watchdog.started, pids)))


def test_a_block_that_ends_well_leaves_no_watchdog_and_no_record(cache):
    process, pids = owner("child.kill()")
    assert process.wait(timeout=300) == 0 and not list(cache.glob("*"))
    os.kill(pids[1], signal.SIGKILL)  # the grandchild, of which nobody said that it has to end


def test_what_outlived_its_run_is_named_and_what_a_living_run_has_is_not(cache):
    process, pids = owner("time.sleep(600)")
    wait_until(lambda: recorded(cache, pids))
    watching = [pid for pid in watchdog.children(process.pid) if pid not in pids]
    assert not processes.left_behind()  # the run lives
    assert watchdog.descendants([process.pid], are_listed=False).keys() == {*pids, *watching}
    assert watchdog.descendants([process.pid]).keys() == {*pids, *watching}
    for pid in (*watching, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    (left,) = processes.left_behind()
    line = str(left)
    assert {pid for pid, _ in left.processes} == set(pids) and f"end them with kill -9 {pids[0]} {pids[1]}" in line
    assert f"run folder {Path('folder').resolve()}" in line and "an earlier niah are still alive" in line
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(watchdog.started, pids)))
    assert not processes.left_behind() and not list(cache.glob("*.json"))
