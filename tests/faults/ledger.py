"""What a campaign counts, event by event, and the table of it."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.testbed import Ended, Testbed

KINDS = ("lost", "doubled", "torn", "executed", "tracebacks", "hangs", "left over", "wrong")
"""What must not happen. Lost, doubled: rows of finished trials. Torn: lines that are no JSON where a command that ended
by itself has left them. Left over: processes, drafts and other files that an undisturbed command does not leave.
Wrong: other prompts or answers than undisturbed, or an end that is neither success nor one line of words."""
_KEPT = 40
"""Failures that are kept whole, with the files as they were."""


@dataclass
class Ledger:
    """One part's counts in one worker. ``place`` is where failures are put."""

    part: str
    place: Path
    events: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def event(self, kind: str) -> None:
        self.events[kind] += 1

    def fault(
        self, kind: str, case: str, bed: Testbed, ended: Ended | None = None, why: str = "", num: int = 1
    ) -> None:
        """One more of ``kind``; of the first ones the work folder is kept."""
        self.found[kind] += num
        told = {"kind": kind, "part": self.part, "case": case, "why": why}
        if ended:
            told |= {"words": list(ended.words), "code": ended.code, "err": ended.err[-2000:], "out": ended.out[-500:]}
        if len(self.failures) < _KEPT:
            kept = self.place / f"{self.part}-{len(self.failures)}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(bed.work, kept, symlinks=True, ignore_dangling_symlinks=True, ignore=_too_large)
            told["kept"] = str(kept)
        self.failures.append(told)

    def judge(
        self, ended: Ended, case: str, bed: Testbed, *, codes: tuple[int, ...] = (0, 1, 5), sent: int | None = None
    ) -> bool:
        """Counts what is wrong with how a command ended; True where nothing is. ``sent``: the signal it was sent, which
        may have ended it."""
        before = sum(self.found.values())
        if ended.is_hung:
            self.fault("hangs", case, bed, ended, f"not done after {ended.seconds:.0f} s")
        if ended.left:
            self.fault("left over", case, bed, ended, f"processes {ended.left}")
        said = ended.out + ended.err
        if "Traceback (most recent" in said or "; a bug at " in said or "Exception ignored" in said:
            self.fault("tracebacks", case, bed, ended)
        if bed.canary.exists():
            self.fault("executed", case, bed, ended)
            bed.canary.unlink()
        allowed = (*codes, *(() if sent is None else (-sent, 130)))
        if ended.code not in allowed and not ended.is_hung:
            self.fault("wrong", case, bed, ended, f"exit code {ended.code}")
        elif ended.code in (1, 5) and not ended.last.startswith("niah: "):
            self.fault("wrong", case, bed, ended, f"exit code {ended.code} without a line that says why")
        return sum(self.found.values()) == before

    def plain(self) -> dict[str, Any]:
        return {
            "part": self.part, "events": dict(self.events), "found": dict(self.found), "failures": self.failures,
            "seconds": round(self.seconds, 1),
        }


def _too_large(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if (path := Path(folder, name)).is_file() and path.stat().st_size > 2**20}


def merged(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The counts of all workers, one entry a part."""
    found: dict[str, dict[str, Any]] = {}
    for one in parts:
        there = found.setdefault(
            one["part"], {"part": one["part"], "events": Counter(), "found": Counter(), "failures": [], "seconds": 0.0}
        )
        there["events"] += Counter(one["events"])
        there["found"] += Counter(one["found"])
        there["failures"] += one["failures"]
        there["seconds"] = max(there["seconds"], one["seconds"])
    return list(found.values())


def table(parts: list[dict[str, Any]]) -> str:
    """Markdown: a line a part, then what its events were."""
    lines = [f"| part | events | {' | '.join(KINDS)} | seconds |", f"|---|---:|{'---:|' * (len(KINDS) + 1)}"]
    for one in parts:
        counts = " | ".join(f"{one['found'].get(kind, 0):,}" for kind in KINDS)
        lines.append(f"| {one['part']} | {sum(one['events'].values()):,} | {counts} | {one['seconds']:.0f} |")
    lines.append("")
    for one in parts:
        each = ", ".join(f"{kind} {num:,}" for kind, num in sorted(one["events"].items(), key=lambda item: -item[1]))
        lines.append(f"- {one['part']}: {each}")
    return "\n".join(lines)


def rows_of(file: Path) -> tuple[list[bytes], bytes]:
    """The whole lines of a rows file, and what stands behind the last of them."""
    data = file.read_bytes() if file.is_file() else b""
    *whole, rest = data.split(b"\n")
    return [line for line in whole if line.strip()], rest


def check_rows(ledger: Ledger, case: str, bed: Testbed, folder: Path, before: list[bytes], ended: Ended | None) -> None:
    """Rows that were there are there, none is twice, each is JSON; who ended by itself leaves whole lines."""
    now, rest = rows_of(folder / "rows.jsonl")
    kept = Counter(now)
    lost = [line for line in before if not kept[line]]
    if lost:
        ledger.fault("lost", case, bed, ended, f"{lost[0][:80]!r}", len(lost))
    keys = Counter()
    for line in now:
        try:
            row = json.loads(line)
            keys[row.get("variant") or "bf16", row["trial"]] += 1
        except (ValueError, KeyError, AttributeError):
            ledger.fault("torn", case, bed, ended, f"{line[:80]!r}")
    if doubled := [key for key, num in keys.items() if num > 1]:
        ledger.fault("doubled", case, bed, ended, f"{doubled}", len(doubled))
    if rest and ended is not None and ended.code == 0:
        ledger.fault("torn", case, bed, ended, f"{rest[:80]!r}")


def comparable(lines: list[bytes]) -> dict[tuple[str, int], dict[str, Any]]:
    """Rows by variant and trial, without their times. A row that names no variant is of the only one."""
    rows = [json.loads(line) for line in lines]
    return {
        (row.get("variant") or "bf16", row["trial"]): {
            key: value for key, value in row.items() if not key.endswith("seconds")
        }
        for row in rows
    }


def files_below(folder: Path) -> set[str]:
    """Relative names of all files."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
