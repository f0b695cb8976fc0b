"""The parts of the campaign, one after the other, each by as many workers as there are cores."""

import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from niah import __version__
from tests.faults import damage, disks, engines, hostile, kills, surroundings, testbed, weights
from tests.faults.ledger import Ledger, merged, table

PARTS = {
    "kills": kills.Kills, "cuts": damage.Cuts, "flips": damage.Flips, "full disks": disks.Disks,
    "surroundings": surroundings.Surroundings, "weights": weights.Weights, "hostile": hostile.Hostile,
    "engine": engines.Engines,
}
ALONE = ("engine",)
"""Parts that take all cores: one worker does them."""


def main(names: list[str]) -> int:
    """Runs the parts, all without a name; prints and writes the table. Exit code 1 where anything was found."""
    seconds, seed = float(os.environ.get("FAULTS_S", "60")), int(os.environ.get("FAULTS_SEED", "0"))
    num = int(os.environ.get("FAULTS_WORKERS", len(os.sched_getaffinity(0))))
    out = Path(os.environ.get("FAULTS_OUT", "outputs/faults")).resolve()
    if unknown := [name for name in names if name not in PARTS]:
        print(f"faults: got {unknown[0]!r}; expected some of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    testbed.preload()
    began = time.strftime("%Y-%m-%d")
    counts: list[dict[str, Any]] = []
    for part in names or [name for name in PARTS if name not in ALONE]:
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            workers = [
                _worker(part, f"{seed}-{part}-{number}", seconds, Path(place) / str(number), out / f"{part}-{number}")
                for number in range(1 if part in ALONE else num)
            ]
            for pid in workers:
                os.waitpid(pid, 0)
            counts += [json.loads(file.read_text()) for file in sorted(Path(place).glob("*/counts.json"))]
        done = [one for one in counts if one["part"] == part]
        print(*table(merged(done)).splitlines()[2:3], file=sys.stderr, flush=True)
    parts = merged(counts)
    head = f"niah {__version__}, {began}, FAULTS_S={seconds:g} FAULTS_SEED={seed}, {num} workers"
    text = f"{head}\n\n{table(parts)}\n"
    (out / "table.md").write_text(text)
    (out / "counts.json").write_text(json.dumps(parts, indent=1))
    print(text)
    for line in _each_once([failure for part in parts for failure in part["failures"]]):
        print(line)
    return int(any(sum(part["found"].values()) for part in parts) or not parts)


def _each_once(failures: list[dict[str, Any]]) -> list[str]:
    """A line for each place that failed, with the first case and how often it came."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in failures:
        place = re.search(r"a bug at (\S+)", one.get("err", ""))
        found.setdefault((one["part"], one["kind"], place[1] if place else one["why"][:40]), []).append(one)
    lines = []
    for (part, kind, _), each in sorted(found.items(), key=lambda item: -len(item[1])):
        said = each[0].get("err", "").strip()[-300:]
        lines.append(f"{len(each)} x {part}: {kind}: {each[0]['case']}: {each[0]['why']} {said}")
    return lines


def _worker(part: str, seed: str, seconds: float, place: Path, kept: Path) -> int:
    """A process that takes steps of the part until the time is over, then writes counts.json; its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        ledger = Ledger(part, kept)
        bed = testbed.Testbed(place)
        case = PARTS[part](bed, ledger, random.Random(seed))
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < seconds:
                case.step()
        finally:
            ledger.seconds = time.monotonic() - begun
        (place / "counts.json").write_text(json.dumps(ledger.plain()))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
