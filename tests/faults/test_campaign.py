"""The campaign of faults for a few seconds in CI, and for minutes or hours by FAULTS_S (make faults)."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.command import REPOSITORY, environment_with

PARTS = ("kills", "cuts", "flips", "full disks", "surroundings", "weights", "hostile")
SHORT = ("kills", "cuts", "surroundings")


def campaign(out, *parts: str, seconds: str, **environment: str) -> list[dict]:
    """Counts of each part. The table and what failed are shown where anything was found."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *parts], cwd=REPOSITORY, capture_output=True, text=True,
        env=environment_with(FAULTS_S=seconds, FAULTS_OUT=str(out), **environment),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return json.loads((out / "counts.json").read_text())


@pytest.mark.slow
def test_some_of_every_fault(tmp_path):
    """One worker, a seed of its own: the same cases each time, but for the moments of kills."""
    found = campaign(tmp_path / "out", *SHORT, seconds="1.5", FAULTS_WORKERS="1", FAULTS_SEED="7")
    assert [one["part"] for one in found] == list(SHORT) and all(sum(one["events"].values()) for one in found)
    assert "| kills |" in (tmp_path / "out/table.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", PARTS)
def test_minutes_of(tmp_path, part):
    (found,) = campaign(tmp_path / "out", part, seconds=os.environ.get("FAULTS_S", "60"))
    assert sum(found["events"].values()) > 10


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(0)
def test_a_real_engine_that_is_killed(tmp_path):
    (found,) = campaign(tmp_path / "out", "engine", seconds=os.environ.get("FAULTS_S", "60"))
    assert sum(found["events"].values())
