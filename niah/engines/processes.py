"""The processes that engines start: watched so that none outlives its run, and found where one did."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from niah import disk
from niah.engines import watchdog
from niah.environment import cards

_ENDING_SECONDS = 5.0
"""A watchdog whose run has just died may still be at work."""


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """While engines are open in this process, for the run in ``folder``: a watchdog ends their processes with it.

    Where the block fails the watchdog stays until this process ends: an engine may not have been closed.
    """
    if sys.platform != "linux":
        yield
        return
    own, start = os.getpid(), watchdog.started(os.getpid())
    before = os.environ.get(watchdog.MARK)
    os.environ[watchdog.MARK] = f"{own}:{start}"
    record = _records() / f"{own}-{start}-{time.time_ns()}.json"
    with suppress(OSError):  # without a record the watch is the same
        record.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(record, json.dumps({
            "boot": _boot(), "niah": [own, start], "since": time.time(), "folder": str(folder.resolve()),
            "processes": [],
        }))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", watchdog.__file__, str(own), str(start), str(record)], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    yield
    process.kill()
    process.wait()
    record.unlink(missing_ok=True)
    if before is None:
        del os.environ[watchdog.MARK]
    else:
        os.environ[watchdog.MARK] = before


@dataclass(frozen=True)
class LeftBehind:
    """Processes, as (pid, title), of an engine whose run is gone. ``since``: when that run began."""

    processes: tuple[tuple[int, str], ...]
    since: str
    folder: str

    def __str__(self) -> str:
        held = held_mib()
        each = ", ".join(
            f"{pid} ({title}{f', {held[pid]:,} MiB of GPU memory' if pid in held else ''})"
            for pid, title in self.processes
        )
        pids = " ".join(str(pid) for pid, _ in self.processes)
        return (
            f"engine processes of an earlier niah are still alive and may hold memory: pid {each}, since {self.since}, "
            f"run folder {self.folder}; end them with kill -9 {pids}"
        )


def left_behind() -> list[LeftBehind]:
    """What earlier commands of this user left on this machine; never what a living one still uses."""
    deadline = time.monotonic() + _ENDING_SECONDS
    while (found := _left_behind()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _left_behind() -> list[LeftBehind]:
    found = []
    for file in sorted(_records().glob("*.json")) if sys.platform == "linux" else ():
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["boot"] != _boot():
                file.unlink()
                continue
            pid, start = content["niah"]
            if watchdog.started(pid) == start:
                continue
            alive = tuple((pid, title) for pid, start, title in content["processes"] if watchdog.started(pid) == start)
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(content["since"]))
            folder = str(content["folder"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue  # a file of another kind, or one that is going just now
        if alive:
            found.append(LeftBehind(alive, since, folder))
        else:
            file.unlink(missing_ok=True)
    return found


def held_mib() -> dict[int, int]:
    """GPU memory by process, as nvidia-smi has it: in a container it may see none of them."""
    held: dict[int, int] = {}
    for one in cards.holders():
        if one.memory_mib is not None:
            held[one.pid] = held.get(one.pid, 0) + int(one.memory_mib)
    return held


class MemoryKills:
    """Tells whether the system killed processes for want of main memory since this was made."""

    def __init__(self) -> None:
        self._before = _count_kills()

    def killed(self) -> str:
        """What to say of it; empty where it did not."""
        now = _count_kills()
        return "killed by the system, the machine's memory is full (oom-killed)" if now > self._before else ""


def _count_kills() -> int:
    """Of this control group, else of the whole machine (/proc/vmstat), where no group tells."""
    for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with suppress(OSError, ValueError):
            for line in Path(path).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _records() -> Path:
    return disk.root() / "processes"


def _boot() -> str:
    """Which boot of which machine this is: a cache folder may be shared by several."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
