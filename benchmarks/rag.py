"""Retrieval over contexts of 10,485,760 tokens: indexing once, a query, and another depth or repeat.

    python benchmarks/rag.py [READER ...]      about 3 minutes on two cores; bm25, dense and hybrid unless named

Llama 4's tokenizer, haystack=generated, chunks of 256 tokens that end with a sentence. Each reader runs in a process of
its own with an empty index; the tokenised haystack is made before and timed apart. "index" is cutting into chunks
and indexing them, "again" the same for another depth and for another repeat (another stretch of the same source).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
LENGTH = 10 * 2**20

LEG = """
import json, re, sys, time
from hydra import compose, initialize_config_dir
from niah.choices import conf_folder
from niah.config import build
from niah.prompts.recipe import Recipe
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
reader, length, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
with initialize_config_dir(str(conf_folder()), version_base="1.3"):
    run = build(compose("config", overrides=[
        "model=scout", "haystack=generated", f"reader={reader}", f"++ctx.lengths=[{length}]",
        "++ctx.depths=[0,50]", "++ctx.repeats=2", *words,
    ]))
recipe = Recipe(run)
begun = time.perf_counter()
recipe.corpus
corpus_seconds = time.perf_counter() - begun
cells = []
for trial in recipe.trials if reader != "full" else []:
    begun = time.perf_counter()
    built = recipe.build(trial)
    found = built.view.retrieval
    cells.append({
        "depth": trial.depth, "repeat": trial.repeat, "index": found.index_seconds, "query": found.seconds,
        "all": time.perf_counter() - begun, "chunks": len(found.chunks), "needles": list(found.needles),
    })
    del built, found
print(json.dumps({"corpus": corpus_seconds, "cells": cells, "peak_mib": peak()}))
"""


def leg(cache: str, reader: str, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", LEG, reader, str(LENGTH), *words], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NIAH_CACHE": cache},
    )
    if done.returncode:
        sys.exit(f"{reader}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    readers = sys.argv[1:] or ["bm25", "dense", "hybrid"]
    print(f"{LENGTH:,} tokens, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory() as cache:
        print(f"haystack made and tokenised once: {leg(cache, 'full')['corpus']:.1f} s")
        print(
            f"{'reader':<8} {'index':>8} {'query':>9} {'depth again':>12} {'repeat again':>13} {'later run':>10} "
            f"{'peak':>9}"
        )
        for reader in readers:
            for kind in ("chunks", "indexes"):
                subprocess.run(["rm", "-rf", str(Path(cache) / kind)], check=True)
            first = leg(cache, reader)
            later = leg(cache, reader)
            cells = first["cells"]
            slowest = max(cell["query"] for cell in [*cells, *later["cells"]])
            print(
                f"{reader:<8} {cells[0]['index']:>6.1f} s {1000 * slowest:>6.1f} ms {cells[1]['index']:>10.2f} s "
                f"{cells[2]['index']:>11.2f} s {later['cells'][0]['index']:>8.2f} s {first['peak_mib']:>5.0f} MiB"
            )
            seconds = ", ".join(format(cell["all"], ".2f") for cell in cells)
            print(f"         whole trials {seconds} s; needles {[cell['needles'] for cell in cells]}")


if __name__ == "__main__":
    main()
