"""Runs of a real model in vLLM, ended at random moments: rows stay, and no process of the engine outlives its run."""

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from niah import disk
from niah.engines import watchdog
from tests.faults.kills import SIGNALS
from tests.faults.ledger import Ledger, check_rows, rows_of
from tests.faults.testbed import Ended, Testbed, emptied
from tests.helpers.command import command, environment_with

_WORDS = (
    "ctx.lengths=[256,512]", "ctx.depths=[0,50,100]", "ctx.repeats=4", "haystack=noise", "name=a",
    "report.formats=[]",
)
_NUM_TRIALS = 24
_LONGEST_SECONDS = 300
_BEGUN_SECONDS = 1.0
"""Before that Python itself may be starting, which answers a Ctrl-C with a traceback of its own."""
_ENDING_SECONDS = 20
"""The watchdog's time to end an engine whose run was killed."""


class Engines:
    """A step is one kill; a run that is done is begun anew."""

    def __init__(self, bed: Testbed, ledger: Ledger, rng: random.Random):
        self.bed, self.ledger, self.rng = bed, ledger, rng
        self.environment = environment_with(NIAH_CACHE=str(disk.root()))
        self.folder = bed.work / "outputs/a"
        self.seconds = 40.0

    def step(self) -> None:
        lines, _ = rows_of(self.folder / "rows.jsonl")
        if len(lines) >= _NUM_TRIALS:
            emptied(self.folder)
            lines = []
        sent = self.rng.choice(SIGNALS)
        after = self.rng.uniform(_BEGUN_SECONDS, self.seconds)
        name = signal.Signals(sent).name
        case = f"vLLM, {name} after {after:.1f} s"
        ended = self._run(after, sent)
        self.ledger.event(f"run {name}")
        self.ledger.judge(ended, case, self.bed, codes=(0,), sent=sent)
        check_rows(self.ledger, case, self.bed, self.folder, lines, ended)
        if ended.code == 0:
            self.seconds = max(10.0, min(self.seconds, ended.seconds))
            self._compare(case, ended)

    def _run(self, after: float, sent: int) -> Ended:
        begun = time.monotonic()
        said = self.bed.work.parent / "engine.err"
        with said.open("w") as err:
            process = subprocess.Popen(
                command(*_WORDS), cwd=self.bed.work, env=self.environment, stdout=err, stderr=err,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )
        is_hung = False
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                process.send_signal(sent)
            try:
                process.wait(_LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                is_hung = True
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        seconds = time.monotonic() - begun
        left = self._left(process.pid)
        return Ended(_WORDS, process.returncode, "", _of_niah(said.read_text(errors="replace")), seconds, is_hung, left)

    def _left(self, pid: int) -> tuple[int, ...]:
        """Processes of its engine that are there after the watchdog had time to end them."""
        deadline = time.monotonic() + _ENDING_SECONDS
        while (left := _of_run(pid)) and time.monotonic() < deadline:
            time.sleep(0.2)
        for one in left:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        return tuple(left)

    def _compare(self, case: str, ended: Ended) -> None:
        lines, _ = rows_of(self.folder / "rows.jsonl")
        trials = sorted(json.loads(line)["trial"] for line in lines)
        if trials != list(range(_NUM_TRIALS)):
            self.ledger.fault("lost", case, self.bed, ended, f"trials {trials}", _NUM_TRIALS - len(set(trials)) or 1)


def _of_run(pid: int) -> list[int]:
    """Processes that bear the mark of the run's engine, its watchdog apart."""
    start = f"\0{watchdog.MARK}={pid}:".encode()
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and start in b"\0" + Path(f"/proc/{name}/environ").read_bytes():
                words = Path(f"/proc/{name}/cmdline").read_bytes()
                if b"watchdog.py" not in words and b"resource_tracker" not in words:
                    found.append(int(name))
    return found


def _of_niah(text: str) -> str:
    """What was said, without the bar's own lines."""
    return "\n".join(line for line in text.splitlines() if "trials" not in line or "|" not in line)
