"""deploy/slurm/niah.sbatch in a real Slurm of one node: preempted in the middle, it queues again and finishes."""

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.command import REPOSITORY, environment_with

DAEMONS = [shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("munged", "slurmctld", "slurmd")]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(None in DAEMONS, reason="needs Slurm: Debian's slurmctld, slurmd, slurm-client and munge"),
]
# cred_expire: Slurm starts a requeued job only once the credential of its last start has expired
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP
"""


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.3)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def slurm(tmp_path) -> Iterator[Callable[..., str]]:
    """Runs a Slurm command of a cluster that has this machine as its one node."""
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    host = socket.gethostname().split(".")[0]
    conf = CONF.format(host=host, ports=free_ports(2), user=getpass.getuser(), folder=folder)
    (folder / "slurm.conf").write_text(conf)
    environment = environment_with(
        SLURM_CONF=f"{folder}/slurm.conf", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    names = {
        "key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log",
        "seed-file": "seed",
    }
    munge = [f"--{option}={folder / name}" for option, name in names.items()]
    commands = [[DAEMONS[0], "--foreground", "--force", *munge], [DAEMONS[1], "-D"], [DAEMONS[2], "-D"]]

    def call(*words: str) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    running = []
    try:
        signs = [
            lambda: (folder / "munge.socket").exists(), lambda: "UP" in call("scontrol", "ping"),
            lambda: "idle" in call("sinfo", "--noheader"),
        ]
        for command, ready in zip(commands, signs, strict=True):
            running.append(subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ))
            until(ready, command[0], 30)
        yield call
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(20)


def test_a_preempted_job_queues_again_and_finishes(slurm, tmp_path):
    options = ["--gpus-per-node=0", "--cpus-per-task=1", "--mem=500"]
    words = ["engine=fake", "engine.seconds=0.3", "ctx.lengths=[1k]", "ctx.repeats=4", "name=slurm"]
    rows = tmp_path / "outputs/slurm/rows.jsonl"

    def trials() -> list[int]:
        return [json.loads(line)["trial"] for line in rows.read_text().splitlines()] if rows.exists() else []

    said = slurm("sbatch", *options, str(REPOSITORY / "deploy/slurm/niah.sbatch"), *words)
    (job,) = re.findall(r"Submitted batch job (\d+)", said)
    until(lambda: len(trials()) > 5, "first trials")
    slurm("scancel", "--batch", "--signal=TERM", job)  # what --signal=B:TERM@60 makes Slurm do
    until(lambda: "Restarts=1" in slurm("scontrol", "show", "job", job), "queued again")
    kept = trials()
    assert 5 < len(kept) < 44
    until(lambda: "JobState=COMPLETED" in slurm("scontrol", "show", "job", job), "finished", 120)
    assert trials()[: len(kept)] == kept and sorted(trials()) == list(range(44))
    log = (tmp_path / f"niah-{job}.out").read_text()
    assert "exit code 130): queued again" in log and f"{44 - len(kept)} of 44 trials to run" in log
