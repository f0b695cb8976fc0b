"""`shrink` on faults planted in real vLLM: the smallest prompt that fails, and a script that fails in a new process."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from niah.engines.vllm.process import is_cpu_build
from tests.helpers.command import REPOSITORY, command, environment_with, rows

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not is_cpu_build(), reason="faults are planted in vLLM's CPU engine"),
]
FAULTY = ("model=calibration/full", "engine._target_=tests.helpers.faulty.Faulty", "name=a", "report.page=false")


def said(place: Path, *words: str) -> str:
    done = subprocess.run(
        command(*words), cwd=place, env=environment_with(), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shrunk(place: Path, *words: str) -> tuple[str, dict[str, Path]]:
    """What shrink says of the last wrong trial, and the folder it leaves."""
    wrong = [row for row in rows(place / "outputs" / "a") if row["score"] == 0][-1]
    text = said(place, "shrink", "--config-dir", str(REPOSITORY), "outputs/a", "--trial", str(wrong["trial"]), *words)
    match = re.search(r"^(.*): reproduce.py in a new process fails too", text, re.MULTILINE)
    assert match, text
    return text, {"folder": place / match[1]}


@pytest.mark.slow
def test_a_length_of_3_mod_4(tmp_path):
    said(tmp_path, *FAULTY, "engine.fault=length", "ctx.lengths=[2083]", "ctx.depths=[50]", "engine.graded=false")
    text, found = shrunk(tmp_path)
    ids = np.load(found["folder"] / "ids.npy")
    assert len(ids) % 4 == 3 and len(ids) < 200, text
    script = (found["folder"] / "reproduce.py").read_text()
    assert "niah" not in script.replace("tests.helpers.faulty", "").split("ENGINE = ")[0] and "plant(" in script
