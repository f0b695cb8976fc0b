"""`shrink` on faults planted in real vLLM: prompts of 4K to 8K tokens made as small as they fail, one row a fault.

    python benchmarks/shrink.py [only=TEXT] [keep=FOLDER]

Each fault has a run with a model that finds everything; its last wrong trial is made small, and the script that is
left runs in a new process (`shrink` fails where that shows nothing). vLLM's CPU engine, minutes a fault.
"""

import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from detective import FAULTY, REPOSITORY, niah

FULL = ("model=calibration/full", "haystack=generated", FAULTY, "report.page=false", "report.formats=[]")
DEPTHS = "ctx.depths=[0,25,50,75,100]"


@dataclass(frozen=True)
class Case:
    """A fault and the words of its run."""

    name: str
    words: tuple[str, ...]


CASES = (
    Case("wrong at length = 3 mod 4", ("engine.fault=length", "ctx.lengths=[4131]", DEPTHS, "engine.graded=false")),
    Case("first two blocks lost at length = 0 to 8 mod 16", (
        "engine.fault=first_blocks", "ctx.lengths=[4132]", DEPTHS,
    )),
    Case("last, partial block dropped in one layer", ("engine.fault=partial", "ctx.lengths=[6k]", DEPTHS)),
    Case("block 8 of a prompt overwritten", (
        "engine.fault=block", "ctx.lengths=[8k]", "ctx.depths=[13]", "engine.graded=false", "engine.cold_check=0",
    )),
)


def main() -> None:
    options = dict(word.split("=", 1) for word in sys.argv[1:])
    print("| planted | from | to | probes | seconds | beside it | new process |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(options.get("keep", folder)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        for number, case in enumerate(CASES):
            if options.get("only", "") in case.name:
                print(line(place, f"{number}", case), flush=True)


def line(place: Path, name: str, case: Case) -> str:
    """The table's row of a case, whose run is ``place/outputs/name``."""
    done = niah(place, *FULL, *case.words, f"name={name}")
    folder = place / "outputs" / name
    rows = [json.loads(row) for row in (folder / "rows.jsonl").read_text().splitlines()] if not done.returncode else []
    wrong = [row for row in rows if row["score"] == 0]
    if not wrong:
        why = done.stderr.strip()[-200:] if done.returncode else "no trial of the run is wrong"
        return f"| {case.name} | | | | | | {why} |"
    chosen = wrong[-1]
    began = time.perf_counter()
    words = ("--config-dir", str(REPOSITORY), str(folder), "--trial", str(chosen["trial"]))
    told = niah(place, "shrink", *words)
    seconds = time.perf_counter() - began
    text = told.stdout or told.stderr.strip()[-300:]
    smallest = re.search(r"smallest.*?: ([\d,]+) tokens.*; ([\d,]+) prompts tried", text)
    beside = re.search(r"fails too at[^\n]*|does not fail at[^\n]*", text)
    is_shown = "in a new process fails too" in text
    return (
        f"| {case.name} | {chosen['num_prompt_tokens']:,} | {smallest[1] if smallest else ''} | "
        f"{smallest[2] if smallest else ''} | {seconds:.0f} | {beside[0] if beside else ''} | "
        f"{'fails too' if is_shown else text} |"
    )

if __name__ == "__main__":
    main()
