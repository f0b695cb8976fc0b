"""Faults planted in real vLLM, the command that looks for each, what it named and what that took; then healthy engines.

    python benchmarks/detective.py [healthy=20] [only=TEXT] [keep=FOLDER] [also="WORDS"]

vLLM's CPU engine with models of known answers, one command at a time on all cores: about an hour. ``only`` takes the
cases whose name holds TEXT; ``keep`` leaves the run folders there, and a second call goes on with them; ``also`` stands
behind every command (``also="model.dtype=float32 kv=fp32"`` where the processor has no AVX-512). A healthy case is
`edges` with another seed, so other texts, lengths and places; promised is a pattern in 5% of them at most.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
FAULTY = "engine._target_=tests.helpers.faulty.Faulty"
DRAFTS = "engine._target_=tests.helpers.faulty_drafts.FaultyDrafts"
COMMON = ("report.page=false", "report.formats=[]")
FULL = ("model=calibration/full", "haystack=generated", "ctx.lengths=[2k]")
WINDOW = ("model=calibration/window_4k", "haystack=generated", "ctx.lengths=[8k]")
PRESSURE = ("pressure", "model=calibration/full", "haystack=generated", "ctx.lengths=[1k]", "pressure.prompts=32")


@dataclass(frozen=True)
class Case:
    """``words`` are a command without its name; with ``is_compared``, what `compare` says of the run counts, beside one
    with ``before`` for its last words where there are any."""

    name: str
    words: tuple[str, ...]
    is_compared: bool = False
    before: tuple[str, ...] = ()


CASES = (
    Case("wrong at length = 3 mod 4", ("edges", *FULL, "engine.fault=length")),
    Case("first two blocks lost at length = 0 to 8 mod 16", ("edges", *FULL, "engine.fault=first_blocks")),
    Case("damage after a hit that leaves 4 to 10 tokens", ("edges", *FULL, "engine.fault=hit")),
    Case("last, partial block dropped in one layer", ("edges", *FULL, "engine.fault=partial")),
    Case("KV scale 64 times too small in one layer", (
        "edges", "model=calibration/full", "haystack=generated", "ctx.lengths=[576]", "edges.texts=4",
        "engine.fault=one_scale", "engine.scale=64", "kv=[bf16,fp8]",  # FP8 takes ten times as long on CPUs
    )),
    Case("KV scale 4 times too small in one layer of SmolLM2", (
        "model=smollm2_135m", "task=multikey", "ctx.lengths=[512]", "ctx.depths=[50]", "ctx.repeats=24",
        "engine.cold_check=0", "engine.fault=one_layer", "engine.scale=4",
    ), is_compared=True, before=("engine.fault=''",)),
    Case("window one token too narrow", ("edges", *WINDOW, "engine.fault=window", "engine.off=-1")),
    Case("window one token too wide", ("edges", *WINDOW, "engine.fault=window", "engine.off=1")),
    Case("last block of a hit stale", ("edges", *FULL, "engine.fault=stale")),
    Case("a block found after it was driven out", (*PRESSURE, "engine.fault=kept")),
    Case("drafts taken unchecked from 900 tokens on", (
        "model=calibration/full", "haystack=noise", DRAFTS, "engine.unchecked_from=900", "spec=[none,ngram]",
        "spec.prompt_lookup_min=1", "spec.prompt_lookup_max=1",  # what follows any word that stood before
        "ctx.lengths=[512,1k]", "ctx.depths=[50]", "ctx.repeats=20", "engine.cold_check=0", "engine.graded=false",
    ), is_compared=True),
    Case("healthy, under pressure", PRESSURE),
)


def main() -> None:
    options = dict(word.split("=", 1) for word in sys.argv[1:])
    healthy = [Case(f"healthy, seed {seed}", ("edges", *FULL, f"seed={seed}")) for seed in
               range(1, 1 + int(options.get("healthy", 20)))]
    print("| planted | command | prompts | tokens computed | seconds | named |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(options.get("keep", folder)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        for number, case in enumerate([*CASES, *healthy]):
            if options.get("only", "") in case.name:
                print(line(place, f"{number}", case, options.get("also", "").split()), flush=True)


def line(place: Path, name: str, case: Case, also: list[str]) -> str:
    """The table's row of a case, which runs in ``place/outputs/name`` with the words of ``also`` too."""
    engine = () if DRAFTS in case.words else (FAULTY,)
    words = (*case.words, *engine, *COMMON, f"name={name}", *also)
    began = time.perf_counter()
    done = niah(place, *words)
    seconds = time.perf_counter() - began
    folder = place / "outputs" / name
    named = "; ".join(_named(folder, case)) if done.returncode in (0, 2) else f"failed: {done.stderr.strip()[-200:]}"
    if case.is_compared:
        asked = [f"outputs/{name}"]
        if case.before:
            niah(place, *words, *case.before, f"name={name}-before")
            asked = [f"outputs/{name}-before", f"outputs/{name}", "compare.primary=graded"]
        told = niah(place, "compare", *asked, "report.page=false").stdout
        wanted = "Graded signal" if case.before else "loses"
        named = next((one for one in told.splitlines() if wanted in one), "")
    rows = [json.loads(row) for file in folder.rglob("rows.jsonl") for row in file.read_text().splitlines()]
    computed = sum(int(row["num_prompt_tokens"] or 0) - int(row["num_cached_tokens"] or 0) for row in rows)
    command = f"`{case.words[0] if '=' not in case.words[0] else 'compare'}`"
    return f"| {case.name} | {command} | {len(rows)} | {computed:,} | {seconds:.0f} | {named or 'nothing'} |"


def niah(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-m", "niah", *words], cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def _named(folder: Path, case: Case) -> Iterator[str]:
    """What edges.json or pressure.json names."""
    verb = case.words[0]
    if not (file := folder / f"{verb}.json").exists():
        return
    content: dict[str, Any] = json.loads(file.read_text())
    for name, variant in content["variants"].items():
        told = variant["found"] if verb == "edges" else variant["conditions"].values()
        yield from (f"{one['sentence']} ({name})" for one in told if one["sentence"])


if __name__ == "__main__":
    main()
