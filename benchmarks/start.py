"""Seconds until help, until a stored run is drawn again, and what they import.

    python benchmarks/start.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "vllm", "transformers", "hydra", "matplotlib", "numpy")


def main() -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with tempfile.TemporaryDirectory() as folder:
        call(folder, environment, "engine=fake", "haystack=noise", "name=a")
        for words in (["--help"], ["report", "outputs/a"], ["show", "outputs/a"]):
            seconds = min(call(folder, environment, *words) for _ in range(5))
            heavy = imports(folder, environment, words)
            print(f"python -m niah {' '.join(words):22} {seconds:5.2f} s  imports {heavy}")


def call(folder: str, environment: dict[str, str], *words: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "niah", *words], cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def imports(folder: str, environment: dict[str, str], words: list[str]) -> str:
    program = f"import sys; from niah.cli import main; main({words!r}); print('modules:', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    found = set(done.stdout.rpartition("modules:")[2].split())
    return ", ".join(name for name in HEAVY if name in found) or "none of " + ", ".join(HEAVY)


if __name__ == "__main__":
    main()
