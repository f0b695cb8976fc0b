"""What shared contexts save: ``python benchmarks/cheap.py [RUN WORDS...]``, side by side in one run.

Three runs of SmolLM2 in vLLM, one after the other, each a grid of 1K to 8K by 11 depths: every trial with a context of
its own, one context a length (ctx.share=depths), one for the ladder (ctx.share=lengths). Printed are the prompt tokens
that the engine says it computed, those that a prefix cache needs at least, seconds of the trials, and the ratios to the
first. Then, by the plan alone, what Llama 4 Scout from 8K to 10M takes on a node of 8 H100 under each.
"""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from niah import grid
from niah.commands import plan

PROTOCOLS = (grid.APART, grid.BY_LENGTH, grid.BY_REPEAT)
SWEEP = ("model=scout", "ctx=10m", "ctx.repeats=16", "hardware=8xh100", "kv=fp8")


def measured(share: str, folder: Path, words: list[str]) -> tuple[dict[str, int], float, str]:
    """Tokens (sent, computed, needed), seconds of the trials, and the accuracy line of one run."""
    command = [
        sys.executable, "-m", "niah", "ctx=8k", f"ctx.share={share}", f"outputs={folder}", f"name={share}",
        "engine.cold_check=0", "report.formats=[]", "report.page=false", *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    session = json.loads((folder / share / "run.json").read_text())["sessions"][-1]
    overall = next(line.strip() for line in done.stdout.splitlines() if line.strip().startswith("all "))
    return next(iter(session["tokens"].values())), next(iter(session["trials_seconds"].values())), overall


def planned(share: str) -> dict[str, float]:
    """The plan's sweep of fp8: num_trials, seconds, gpu_hours, dollars."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        plan.main([*SWEEP, f"ctx.share={share}", "format=json"])
    return json.loads(out.getvalue())["sweeps"]["fp8_e4m3"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print("ctx.share   sent tokens   computed     needed   ratio to none   seconds   ratio to none   accuracy")
        first = None
        for share in PROTOCOLS:
            tokens, seconds, overall = measured(share, Path(folder), sys.argv[1:])
            first = first or (tokens["computed"], seconds)
            print(
                f"{share:>9} {tokens['sent']:13,} {tokens['computed']:10,} {tokens['needed']:10,} "
                f"{tokens['computed'] / first[0]:15.2f} {seconds:9.1f} {seconds / first[1]:15.2f}   {overall}",
                flush=True,
            )
    print(f"\nby the plan, {' '.join(SWEEP)}:")
    for share in PROTOCOLS:
        found = planned(share)
        print(
            f"{share:>9} {found['num_trials']:6,} trials {found['seconds'] / 86400:6.2f} days "
            f"{found['gpu_hours']:8,.0f} GPU-hours ${found['dollars']:8,.0f}"
        )


if __name__ == "__main__":
    main()
