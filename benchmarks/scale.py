"""Two replicas against one engine on the same cores, and what more nodes bring on paper.

    python benchmarks/scale.py [overrides]      about 3 minutes on two cores
    python benchmarks/scale.py paper            only the second part, at once

Measured: two vLLM replicas with half of the cores each against one with all of them, the same trials: throughput,
prefix-cache hits, rows. On paper: Llama 4 Scout at 10M tokens over 1 to 16 nodes, with the plan's figures.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
GRID = ("ctx.lengths=[1k,2k]", "ctx.depths=[0,25,50,75,100]", "ctx.repeats=4", "engine.cold_check=0")
NODES, REPEATS = (1, 2, 4, 8, 16), 16


def measured(overrides: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = (run([*GRID, *overrides, f"engine.replicas={num}"], Path(folder) / str(num)) for num in (1, 2))
    print(f"{len(one['rows'])} trials, {one['tokens']:,} prompt tokens")
    print(f"{'':14}{'start':>8}{'trials':>10}{'in all':>10}{'tokens/s':>10}{'cached':>9}")
    for name, part in (("one engine", one), ("two replicas", two)):
        print(
            f"{name:14}{part['start']:>6.1f} s{part['seconds']:>8.1f} s{part['wall']:>8.1f} s"
            f"{part['tokens'] / part['seconds']:>10,.0f}{part['cached'] / part['tokens']:>9.1%}"
        )
    print(f"throughput: two / one = {one['seconds'] / two['seconds']:.3f}")
    print(f"prefix hit rate: two / one = {two['cached'] / one['cached']:.3f}")
    same = sum(one["rows"][trial] == two["rows"][trial] for trial in one["rows"])
    print(f"same prompt and response: {same} of {len(one['rows'])}; trials of each replica: {two['shares']}")


def run(overrides: list[str], folder: Path) -> dict:
    begun = time.perf_counter()
    dropped = ("NIAH_RESTARTED", "NIAH_STARTED", "LD_PRELOAD", "HYDRA_FULL_ERROR", "OMP_NUM_THREADS")
    subprocess.run(
        [sys.executable, "-m", "niah", *overrides, f"outputs={folder}", "name=a"], check=True, cwd=REPOSITORY,
        stdout=subprocess.DEVNULL, env={name: value for name, value in os.environ.items() if name not in dropped},
    )
    wall = time.perf_counter() - begun
    content = json.loads((folder / "a" / "run.json").read_text())
    rows = [json.loads(line) for line in (folder / "a" / "rows.jsonl").read_text().splitlines()]
    return {
        "wall": wall, "start": content["engine"]["start_seconds"],
        "seconds": sum(content["sessions"][-1]["trials_seconds"].values()),
        "tokens": sum(row["num_prompt_tokens"] for row in rows),
        "cached": sum(row["num_cached_tokens"] for row in rows),
        "rows": {row["trial"]: (row["prompt_sha256"], row["response"]) for row in rows},
        "shares": [replica["num_answered"] for replica in content["engine"].get("replicas", ())],
    }


def paper() -> None:
    """One prompt is not read sooner by more nodes: stages work one after the other. Repeats are, a replica each."""
    from niah import choices, planner
    from niah.config import typed
    from niah.grid import Ladder
    from niah.models.settings import Model
    from niah.planner.hardware import Hardware

    model = typed("model", Model, next(node for node in choices.choices("model") if node["name"] == "scout"))[0]
    ladder = typed("ctx", Ladder, next(node for node in choices.choices("ctx") if node["name"] == "10m"))[0]
    known = [typed("hardware", Hardware, node)[0] for node in choices.choices("hardware") if node["name"] != "auto"]
    print(
        f"\nLlama 4 Scout, 8K to 10M, {len(ladder.depths)} depths, {REPEATS} repeats: on paper (assumed efficiencies, "
        "prefixes reused within a repeat)"
    )
    print(
        f"{'nodes':>16}{'KV cache':>10}  {'replicas':>8}{'repeats each':>14}{'days':>8}{'speed-up':>10}"
        f"{'GPU-hours':>11}{'$':>9}"
    )
    for name, dtype in (("h100", "fp8_e4m3"), ("h200", "bfloat16")):
        node = replace(next(one for one in known if one.name == name), num_gpus=8)
        sweep = planner.make(model, replace(ladder, repeats=1), node, known, (dtype,)).sweeps[dtype]
        for nodes in NODES:
            rounds = math.ceil(REPEATS / nodes)
            hours = rounds * sweep.seconds / 3600
            gpu_hours = REPEATS * sweep.gpu_hours
            print(
                f"{f'{nodes} x 8x{name}':>16}{dtype:>10}  {nodes:>8}{rounds:>14}{hours / 24:>8.1f}"
                f"{REPEATS / rounds:>9.1f}x{gpu_hours:>11,.0f}{gpu_hours * node.dollars_per_gpu_hour:>9,.0f}"
            )
    two = replace(next(one for one in known if one.name == "h100"), num_gpus=8, num_nodes=2)
    (cell,) = planner.make(model, replace(ladder, lengths=[max(ladder.lengths)]), two, known, ("bfloat16",)).cells
    print(
        f"one model over {two} (pipeline parallel): bf16 at 10M takes {cell.need.total / 2**30:.1f} of "
        f"{cell.available / 2**30:.1f} GiB, "
        f"{'fits' if cell.fits else 'does not fit'}; {cell.seconds / 60:.0f} min a cold prompt, as on one node"
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["paper"]:
        measured(sys.argv[1:])
    paper()
