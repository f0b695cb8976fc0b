"""What the graded signal costs: the same trials with it and without, and the share of the run it takes.

    python benchmarks/graded.py [key=value ...]

Twice: with prompts that end within a block of vLLM's cache, and on one. SmolLM2-135M, one fact among three alike, 1K to
8K tokens, two repeats, KV cache bf16: what `experiment=kv_smollm2/multikey` runs, with the plan's own prefill chunks.
The share is of the seconds spent on trials, engine start left out; PyTorch's one compilation is in it.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

GRID = (
    "experiment=kv_smollm2/multikey", "kv.also=[]", "ctx.repeats=2", "engine.chunk_tokens=0", "engine.cold_check=0",
    "report.formats=[]",
)
ENDS = {"within a block": (), "on a block": ("task.max_tokens=128",)}
"""Where prompts end in vLLM's blocks of 128 tokens: those that end on one are cached whole when they are graded."""


def session(folder: str, name: str, words: Sequence[str]) -> dict[str, float]:
    """Seconds of one run: of all trials, and of what was forced after them; answers without a grade."""
    own = (f"outputs={folder}", f"name={name}")
    subprocess.run([sys.executable, "-m", "niah", *GRID, *own, *words], check=True, capture_output=True)
    content = json.loads((Path(folder) / name / "run.json").read_text())
    last = content["sessions"][-1]
    seconds = {what: sum(last[f"{what}_seconds"].values()) for what in ("trials", "graded")}
    return {**seconds, "num_not_graded": content["engine"]["num_not_graded"]}


def main(words: list[str]) -> None:
    for where, ends in ENDS.items():
        with tempfile.TemporaryDirectory() as folder:
            plain, graded = (
                session(folder, f"graded-{wanted}", [f"engine.graded={wanted}", *ends, *words])
                for wanted in ("false", "true")
            )
        without, with_it = plain["trials"], graded["trials"]
        print(
            f"prompts that end {where}: trials without the graded signal {without:.1f} s, with it {with_it:.1f} s, "
            f"ratio {with_it / without:.3f}; forced answers {graded['graded']:.1f} s, "
            f"{graded['graded'] / with_it:.1%} of the trials' seconds; {graded['num_not_graded']} not graded",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
