"""What the graded signal costs: the same trials with it and without, and the share of the run it takes.

    python benchmarks/graded.py [key=value ...]

SmolLM2-135M, one fact among three alike, 1K to 8K tokens, two repeats, KV cache bf16: what
`experiment=kv_smollm2/multikey` runs, with the plan's own prefill chunks. The share is of the seconds spent on trials,
engine start left out; PyTorch's one compilation is in it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

GRID = (
    "experiment=kv_smollm2/multikey", "kv.also=[]", "ctx.repeats=2", "engine.chunk_tokens=0", "engine.cold_check=0",
    "report.formats=[]",
)


def session(folder: str, graded: bool, words: list[str]) -> dict[str, float]:
    """Seconds of one run: of all trials, and of what was forced after them."""
    name = f"graded-{graded}".lower()
    own = (f"engine.graded={graded}".lower(), f"outputs={folder}", f"name={name}")
    subprocess.run([sys.executable, "-m", "niah", *GRID, *own, *words], check=True, capture_output=True)
    last = json.loads((Path(folder) / name / "run.json").read_text())["sessions"][-1]
    return {what: sum(last[f"{what}_seconds"].values()) for what in ("trials", "graded")}


def main(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain, graded = (session(folder, wanted, words) for wanted in (False, True))
    ratio = graded["trials"] / plain["trials"]
    without, with_it = plain["trials"], graded["trials"]
    print(f"trials without the graded signal {without:.1f} s, with it {with_it:.1f} s: ratio {ratio:.3f}")
    print(f"forced answers: {graded['graded']:.1f} s, {graded['graded'] / graded['trials']:.1%} of the trials' seconds")


if __name__ == "__main__":
    main(sys.argv[1:])
