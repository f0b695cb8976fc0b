"""Seconds that ``compare`` takes on two runs of 100,000 rows each, from command to exit.

    python benchmarks/compare.py [rows]
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from niah.grid import DEPTHS
from niah.records import Row, RunRecord
from niah.runs.store import RunFolder

REPOSITORY = Path(__file__).resolve().parent.parent
LENGTHS = [2**power for power in range(13, 21)]
CONFIG = {
    "model": {"name": "m", "path": "x/y"}, "engine": {"name": "vllm"}, "ctx": {"lengths": LENGTHS, "depths": DEPTHS},
}


def main() -> None:
    num_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        for name, accuracy in (("a", 0.93), ("b", 0.9)):
            megabytes = write(Path(folder) / name, num_rows, accuracy)
        before = 0.0
        for _ in range(3):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "niah", "compare", "a", "b"], cwd=folder, check=True, capture_output=True,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu, before = used.ru_utime + used.ru_stime - before, used.ru_utime + used.ru_stime
            print(
                f"compare of 2 x {num_rows:,} rows ({megabytes:.0f} MB a run): {time.perf_counter() - started:.2f} s, "
                f"of them {cpu:.2f} s of one core"
            )
        print(f"largest memory: {used.ru_maxrss / 1024:.0f} MiB")


def write(path: Path, num_rows: int, accuracy: float) -> float:
    """A run of ``num_rows`` trials as the store writes it; returns the megabytes of its rows."""
    rng = np.random.default_rng(0)
    cells = [(length, depth) for length in LENGTHS for depth in DEPTHS]
    with RunFolder(path) as folder:
        folder.write_record(RunRecord(config=CONFIG))
        with folder.rows_path.open("w") as file:
            for trial in range(num_rows):
                length, depth = cells[trial % len(cells)]
                found = rng.random() < accuracy
                row = Row(
                    trial=trial, length=length, depth=depth, repeat=trial // len(cells),
                    outcome="correct" if found else "wrong", score=float(found), answer="7435196", targets=["7435196"],
                    response="The special magic number for Kyoto mentioned in the text is 7435196.",
                    prompt_sha256=f"{trial:064x}", num_prompt_tokens=length - 32, num_cached_tokens=0,
                    num_completion_tokens=20, finish_reason="stop", needle_spans=[[100, 140]], needle_depths=[depth],
                    needles_kept=[True], repeated_share=0.0, seconds=1.0, first_token_seconds=0.5,
                    model="m", task="multikey", haystack="essays", reader="full", engine="vllm",
                    kv_cache_dtype="fp8_e4m3", variant="", logprob=float(-rng.exponential()), num_target_tokens=7,
                    worst_rank=1, margin=3.0, served={"attention": "FLASH_ATTN", "kv_cache_dtype": "fp8_e4m3"},
                )
                file.write(json.dumps(dataclasses.asdict(row)) + "\n")
        return folder.rows_path.stat().st_size / 1e6


if __name__ == "__main__":
    main()
