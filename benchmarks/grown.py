"""Grown folders: 1,000 runs reported and compared, 100,000 rows continued, rag on 2 x 25,000; a quarter, a half, all.

    python benchmarks/grown.py [runs] [rows] [rag]      about 5 minutes on two cores; without a word all three

Runs are made of one run of engine=fake: its rows again and again, each folder with settings and answers of its own.
Each line is one command in a process of its own: its seconds on the clock; those of processors, which tell more where
others work beside it; these against those of the line above (2 is linear); and the most memory it had.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from niah.config import Run

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
SMALL = ("model=smollm2_135m", "engine=fake", "engine.window=3000", "haystack=noise")
NUM_RUNS, NUM_ROWS, NUM_OF_A_READER = 1000, 100_000, 25_000


def main(wanted: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'':44}{'seconds':>9}{'CPU s':>9}{'ratio':>7}{'MiB':>7}")
        if not wanted or "runs" in wanted:
            many_runs(folder)
        if not wanted or "rows" in wanted:
            many_rows(folder)
        if not wanted or "rag" in wanted:
            many_of_two_readers(folder)


def many_runs(folder: Path) -> None:
    grid = ("ctx.lengths=[1k,2k,4k]", "ctx.depths=[0,50,100]", "ctx.repeats=2")
    niah(folder, *SMALL, *grid, f"outputs={folder}", "name=one")
    content = json.loads((folder / "one" / "run.json").read_text())
    rows = [json.loads(line) for line in (folder / "one" / "rows.jsonl").read_text().splitlines()]
    for verb in ("compare", "report"):
        before = 0.0
        for num in (NUM_RUNS // 4, NUM_RUNS // 2, NUM_RUNS):
            sweep = folder / f"{verb}{num}"
            for number in range(num):
                run = sweep / f"{number:04d}"
                run.mkdir(parents=True)
                content["config"]["engine"]["window"] = 3000 + number
                (run / "run.json").write_text(json.dumps(content))
                own = [altered(row, random.Random(18 * number + row["trial"])) for row in rows]
                (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
            before = shown(f"{verb} {num:,} runs of 18 rows", before, niah(folder, verb, str(sweep)))


def altered(row: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The row, judged the other way in one of five."""
    if rng.random() < 0.8:
        return row
    return {**row, "score": 1.0 - row["score"], "outcome": "wrong" if row["score"] else "correct"}


def many_rows(folder: Path) -> None:
    from niah.prompts.recipe import Recipe
    from niah.runs import record
    from niah.runs.store import RunFolder

    for what in ("all there", "one left"):
        before = 0.0
        for num in (NUM_ROWS // 4, NUM_ROWS // 2, NUM_ROWS):
            name = f"{what.replace(' ', '-')}-{num}"
            grid = ("ctx.lengths=[1k,2k,3k,4k,5k]", f"ctx.depths={[d for d in range(100)]}".replace(" ", ""))
            place = (f"outputs={folder}", f"name={name}", "report.formats=[png]")
            words = (*SMALL, *grid, f"ctx.repeats={num // 500}", *place)
            settings = built(words)
            recipe = Recipe(settings)
            with RunFolder(folder / name) as run:
                run.write_record(record.of_run(settings, recipe))
                line = json.loads((one_row(folder)).read_text().splitlines()[0])
                with run.rows_path.open("w") as file:
                    for trial in recipe.trials[: -1 if what == "one left" else None]:
                        own = {name: getattr(trial, name) for name in ("length", "depth", "repeat")}
                        file.write(json.dumps({**line, **own, "trial": trial.index}) + "\n")
            before = shown(f"{num:,} rows, {what}: the same command", before, niah(folder, *words))


def many_of_two_readers(folder: Path) -> None:
    before = 0.0
    for num in (NUM_OF_A_READER // 4, NUM_OF_A_READER // 2, NUM_OF_A_READER):
        sweep = folder / f"rag{num}"
        grid = ("ctx.lengths=[1k,2k]", "ctx.depths=[0,100]", "ctx.repeats=1")
        for reader in ("full", "bm25"):
            niah(folder, *SMALL, *grid, f"reader={reader}", f"outputs={sweep}", f"name={reader}")
            file = sweep / reader / "rows.jsonl"
            few = [json.loads(line) for line in file.read_text().splitlines()]
            with file.open("w") as out:
                for number in range(num):
                    row = few[number % len(few)]
                    own = {"trial": number, "repeat": number // len(few), "context_sha256": f"{number:064d}"}
                    out.write(json.dumps(altered({**row, **own}, random.Random(f"{reader} {number}"))) + "\n")
        before = shown(f"rag 2 x {num:,} rows", before, niah(folder, "rag", str(sweep)))


def one_row(folder: Path) -> Path:
    file = folder / "row" / "rows.jsonl"
    if not file.is_file():
        niah(folder, *SMALL, "ctx.lengths=[1k]", "ctx.depths=[0]", "ctx.repeats=1", f"outputs={folder}", "name=row")
    return file


def built(words: Sequence[str]) -> "Run":
    from hydra import compose, initialize_config_dir

    from niah.choices import conf_folder
    from niah.commands.hydra import adapted
    from niah.config import build

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return build(compose("config", overrides=adapted(words)))


@dataclass(frozen=True)
class Cost:
    """What one command took: seconds on the clock, seconds of processors, the most memory (MiB)."""

    seconds: float
    cpu_seconds: float
    mib: int


def niah(folder: Path, *words: str) -> Cost:
    with (folder / "out.txt").open("w") as out:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "niah", *words], cwd=REPOSITORY, stdout=out, stderr=out,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
    if status:
        raise SystemExit((folder / "out.txt").read_text()[-2000:])
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)


def shown(what: str, before: float, cost: Cost) -> float:
    ratio = cost.cpu_seconds / before if before else 0
    print(f"{what:44}{cost.seconds:9.1f}{cost.cpu_seconds:9.1f}{ratio:7.2f}{cost.mib:7}", flush=True)
    return cost.cpu_seconds


if __name__ == "__main__":
    main(sys.argv[1:])
