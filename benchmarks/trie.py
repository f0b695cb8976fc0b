"""Tokens computed to tokens needed, by kind of run: ``python benchmarks/trie.py [KIND...]``.

Each kind is a run of SmolLM2 in vLLM over 512 and 1K, three depths, two repeats. Needed are the tokens in the trie of a
run's prompts, in the engine's blocks (niah/runs/beginnings.py): where the cache holds the prompts of a repeat, no order
does with fewer.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

KINDS = {
    "single": (),
    "multikey, 16 keys": ("task=multikey", "task.num_keys=16"),
    "conflicting": ("task=conflicting",),
    "chain": ("task=chain",),
    "words (aggregate)": ("task=aggregate", "ctx.lengths=[1k,2k]"),
    "reader=bm25": ("reader=bm25", "reader.budget=256"),
    "reader=oracle": ("reader=oracle",),
    "share=depths": ("ctx.share=depths",),
    "share=lengths": ("ctx.share=lengths",),
    "four prompts at once": ("engine.max_num_seqs=4",),
    "two replicas": ("engine.replicas=2",),
    "kv=fp8": ("kv=fp8",),
}
GRID = ("ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]", "ctx.repeats=2")


def main() -> None:
    print("kind                    sent   computed     needed  ratio")
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "-m", "niah", *GRID, *KINDS[kind], f"outputs={folder}", "name=run",
                "engine.cold_check=0", "engine.graded=false", "report.formats=[]", "report.page=false",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{kind:20} {done.stderr.splitlines()[-1]}", flush=True)
                continue
            session = json.loads((Path(folder) / "run" / "run.json").read_text())["sessions"][-1]
            one = next(iter(session["tokens"].values()))
            print(
                f"{kind:20} {one['sent']:7,} {one['computed']:10,} {one['needed']:10,} "
                f"{one['computed'] / one['needed']:6.3f}", flush=True,
            )


if __name__ == "__main__":
    main()
