"""engine.replicas=2 through Ray itself: the same rows as one engine, whatever dies on the way."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.helpers.command import command, comparable, environment_with, rows

pytest.importorskip("ray")
FAKE = (
    "engine=fake", "haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]", "ctx.repeats=3",
    "engine.seconds=0.4",
)
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}


def by_trial(folder: Path) -> list[dict]:
    found = rows(folder)
    assert len({row["trial"] for row in found}) == len(found)
    return sorted(comparable(found), key=lambda row: row["trial"])


def begun(place: Path, *settings: str, num_rows: int = 3, **variables: str) -> tuple[subprocess.Popen, list[int]]:
    """A run of two replicas that has some rows, and the replicas' processes."""
    process = subprocess.Popen(
        command(*settings, "name=two", "engine.replicas=2"), cwd=place, env=environment_with(**QUIET, **variables),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    folder = place / "outputs" / "two"
    deadline = time.monotonic() + 200
    while not ((folder / "rows.jsonl").exists() and len(rows(folder)) >= num_rows):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return process, [replica["pid"] for replica in facts(folder)["replicas"]]


def facts(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())["engine"]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def heard_at(pid: int) -> set[str]:
    """Addresses at which a process and those below it listen; Ray's are many."""
    found = []
    for one in (parent := psutil.Process(pid), *parent.children(recursive=True)):
        with suppress(psutil.Error):
            found += [socket.laddr for socket in one.net_connections("tcp") if socket.status == psutil.CONN_LISTEN]
    assert len({address.port for address in found}) > 3
    return {address.ip for address in found}


@pytest.fixture
def whole(niah, tmp_path):
    assert niah(*FAKE, "name=one").returncode == 0
    return by_trial(tmp_path / "outputs" / "one")


@pytest.mark.slow
def test_a_killed_replica_costs_no_row_and_is_started_again(whole, tmp_path):
    process, pids = begun(tmp_path, *FAKE)
    listening = heard_at(process.pid)
    os.kill(pids[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert not listening - {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, "open to the network"
    assert by_trial(tmp_path / "outputs" / "two") == whole
    replicas = facts(tmp_path / "outputs" / "two")["replicas"]
    assert [replica["num_deaths"] for replica in replicas] == [1, 0]
    assert sum(replica["num_answered"] for replica in replicas) == len(whole)
    assert all(replica["num_answered"] for replica in replicas)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_leaves_no_process_and_continues(niah, whole, tmp_path, sent):
    process, pids = begun(tmp_path, *FAKE)
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode == (130 if sent == signal.SIGTERM else -signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "a replica outlived its run"
        time.sleep(0.2)
    num_kept = len(rows(tmp_path / "outputs" / "two"))
    assert 3 <= num_kept < len(whole)
    done = niah(*FAKE, "name=two")  # one engine may finish what two began
    assert done.returncode == 0 and f"{len(whole) - num_kept} of {len(whole)} trials to run" in done.stderr
    assert by_trial(tmp_path / "outputs" / "two") == whole


@pytest.fixture
def cluster():
    """A Ray cluster of two nodes with a core each, whose address a run is given."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.other = made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.mark.slow
def test_a_node_that_goes_down_costs_no_row(cluster, whole, tmp_path):
    process, pids = begun(tmp_path, *FAKE, RAY_ADDRESS=cluster.address)
    cluster.remove_node(cluster.other, allow_graceful=False)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert by_trial(tmp_path / "outputs" / "two") == whole
    replicas = facts(tmp_path / "outputs" / "two")["replicas"]
    assert sorted(replica["num_deaths"] for replica in replicas) == [0, 1]
    assert sum(alive(pid) for pid in pids) == 0


@pytest.mark.slow
def test_a_lost_head_ends_the_run_and_one_engine_finishes_it(niah, cluster, whole, tmp_path):
    settings = (*FAKE[:-1], "engine.seconds=5")
    process, _ = begun(tmp_path, *settings, RAY_ADDRESS=(head := cluster.address))
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in errors
    assert f"niah: engine.replicas: the head of the Ray cluster ({head}) is gone" in errors
    num_kept = len(rows(tmp_path / "outputs" / "two"))
    assert 3 <= num_kept < len(whole)
    done = niah(*settings, "name=two")
    assert done.returncode == 0 and f"{len(whole) - num_kept} of {len(whole)} trials to run" in done.stderr
    assert by_trial(tmp_path / "outputs" / "two") == whole


@pytest.mark.slow
def test_a_cluster_without_room_is_one_line(niah, cluster):
    done = niah(*FAKE, "engine.replicas=3", RAY_ADDRESS=cluster.address, **QUIET)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "3 asked for, each on 1 CPU of one machine; got room for 2 on 2 machines" in last


@pytest.mark.slow
def test_a_recorded_failure_is_tried_again_by_the_same_command(niah, tmp_path):
    settings = (*FAKE[:-1], "engine.fail_at=[1]", "name=two", "engine.replicas=2")
    done = niah(*settings, **QUIET)
    assert done.returncode == 5 and "2 of 18 trials ended without an answer" in done.stderr  # the second one of each
    done = niah(*settings, **QUIET)
    assert "2 of 18 trials to run" in done.stderr
    found = by_trial(tmp_path / "outputs" / "two")
    num_failed = sum(row["outcome"] == "engine-error" for row in found)
    assert len(found) == 18 and num_failed <= 1  # one replica may have got both
    assert done.returncode == 5 * bool(num_failed)


def test_a_cluster_that_is_not_there_is_one_line(niah):
    done = niah(*FAKE, "engine.replicas=2", RAY_ADDRESS="127.0.0.1:1", **QUIET)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("niah: RAY_ADDRESS=127.0.0.1:1: ")


@pytest.mark.slow
def test_an_engine_that_does_not_start_is_one_line(niah):
    done = niah("ctx.lengths=[512]", "ctx.depths=[0]", "engine.replicas=2", "engine.args.max_model_length=5", **QUIET)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "engine.args.max_model_length: not an argument of this vLLM" in done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.engine
def test_two_vllms_give_the_rows_of_one_though_one_is_killed(niah, tmp_path):
    settings = ("ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]", "ctx.repeats=3")
    done = niah(*settings, "name=one", OMP_NUM_THREADS="1")  # as many as each replica has: sums are split by threads
    assert done.returncode == 0, done.stderr
    process, pids = begun(tmp_path, *settings)
    os.kill(pids[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    one, two = (
        [{k: v for k, v in row.items() if k != "num_cached_tokens"} for row in by_trial(tmp_path / "outputs" / name)]
        for name in ("one", "two")
    )
    assert two == one
    assert facts(tmp_path / "outputs" / "two")["replicas"][1]["num_deaths"] == 1
    controls = [json.loads(line) for line in (tmp_path / "outputs" / "two" / "controls.jsonl").read_text().splitlines()]
    assert controls and all(control["is_same"] for control in controls)
