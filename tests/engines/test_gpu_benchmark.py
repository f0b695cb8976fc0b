"""benchmarks/gpu.py in small: its steps run, and its tables hold what the engine said beside what the plan says."""

import re
import subprocess
import sys

import pytest

from tests.helpers.command import REPOSITORY, environment_with


@pytest.mark.engine
@pytest.mark.slow
def test_steps_run_and_tables_hold_the_engine_beside_the_plan(tmp_path):
    words = ("scale=256", "kv=fp32", "model.dtype=float32", "only=constructed", "seconds=600", f"out={tmp_path}")
    command = [sys.executable, str(REPOSITORY / "benchmarks/gpu.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment_with())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("exit code 0") == 3 and "3 of 3 trials as predicted" in done.stdout
    table = (tmp_path / "gpu.md").read_text()
    assert "no NVIDIA GPU" in table and "| full_128k | fp32 | CPU_ATTN | 512 | 3 of 3 |" in table
    held = re.findall(r"\| CPU_ATTN \| \S+ \| [^|]+ \| ([\d,]+) \|[^|]*\| ([\d,]+) \|", table)
    assert len(held) == 3 and all(engine == plan for engine, plan in held)
    again = subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks/gpu.py"), "table", str(tmp_path)], capture_output=True, text=True
    )
    assert again.stdout.strip() == table.strip()
