"""Ends what an engine started once the process that opened it is gone, however that ended: also by ``kill -9``.

A program of its own (``python watchdog.py PID START RECORD``, Linux, standard library alone), in a session of its own:
what a terminal or a scheduler sends to the run does not reach it. It outlives the run, which a thread in the run or a
``finally`` does not, and it knows descendants at any depth (engine core, its workers, Ray's and their engines), which a
parent-death signal does not: that ends the children of one thread, and has to be set inside each of them.

Descendants are noted while the run lives, since whoever loses a parent is handed to another one. One that is begun in
the moment of the kill carries ``MARK`` in its environment.
"""

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress

MARK = "NIAH_ENGINE_OF"
"""The environment variable of an engine's processes: PID and start of the process that opened the engine."""
LISTS_CHILDREN = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
"""Whether the kernel was built with CONFIG_PROC_CHILDREN, as most are."""
_EVERY_SECONDS = 0.25
_SHARE = 0.05
"""Of a core at most, for looking."""
_GIVEN_UP_SECONDS = 60
_SPARED = b"resource_tracker"
"""multiprocessing's own: it removes shared memory that killed processes left, then ends."""


def started(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 where there is none or it is only waited for."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def children(pid: int) -> list[int]:
    """Of all its threads."""
    found = []
    with suppress(OSError):  # it ended meanwhile
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    return found


def children_of_all() -> dict[int, list[int]]:
    """The same for every process, from who is whose parent: dearer."""
    found: dict[int, list[int]] = {}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        if fields := _read(f"/proc/{pid}/stat").rpartition(b")")[2].split():
            found.setdefault(int(fields[1]), []).append(pid)
    return found


def title(pid: int) -> str:
    """What a process calls itself, as VLLM::EngineCore."""
    return _read(f"/proc/{pid}/cmdline").split(b"\0")[0].decode(errors="replace").strip() or "?"


def descendants(pids: list[int], *, are_listed: bool = LISTS_CHILDREN) -> dict[int, int]:
    """All processes below these, each with its start; without this one. ``are_listed``: the kernel lists children."""
    found: dict[int, int] = {}
    waiting, of_all = list(pids), {} if are_listed else children_of_all()
    while waiting:
        pid = waiting.pop()
        for child in children(pid) if are_listed else of_all.get(pid, ()):
            if child not in found and child != os.getpid() and (start := started(child)):
                found[child] = start
                waiting.append(child)
    return found


def marked(value: str) -> dict[int, int]:
    """All processes of this user that bear this mark."""
    wanted = f"\0{MARK}={value}\0".encode()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    return {pid: started(pid) for pid in pids if wanted in b"\0" + _read(f"/proc/{pid}/environ")}


def watch(pid: int, start: int, record: str) -> None:
    """Until the process that began at ``start`` is gone, which it may be by now, then until nothing of it is left."""
    known: dict[int, int] = {}
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):  # a kernel before 5.3: then it is looked for
        handle = None
    while started(pid) == start != 0:
        begun = time.monotonic()
        now = descendants([pid])
        if now.keys() - known.keys():
            known |= now
            _note(record, known)
        pause = max(_EVERY_SECONDS, (time.monotonic() - begun) / _SHARE)
        if handle is None:
            time.sleep(pause)
        else:
            select.select([handle], [], [], pause)
    end(known, f"{pid}:{start}")
    if os.path.exists(record):
        os.unlink(record)


def end(known: dict[int, int], mark: str) -> None:
    """Kills these, what they started since, and what bears the mark, until none is left."""
    deadline = time.monotonic() + _GIVEN_UP_SECONDS
    while time.monotonic() < deadline:
        known |= descendants(list(known)) | marked(mark)
        left = [pid for pid, start in known.items() if start and started(pid) == start]
        left = [pid for pid in left if _SPARED not in _read(f"/proc/{pid}/cmdline")]
        if not left:
            return
        for pid in left:
            with suppress(OSError):  # gone already
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    sys.exit(1)  # the record stays: the next command names what could not be ended


def _note(record: str, known: dict[int, int]) -> None:
    """Writes them into the record, for the next command should this process end too."""
    try:
        with open(record, encoding="utf-8") as file:
            content = json.load(file)
        content["processes"] = [[pid, start, title(pid)] for pid, start in known.items()]
        with open(f"{record}.draft", "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(f"{record}.draft", record)
    except (OSError, ValueError):
        pass  # the disk is full: what matters is the watch


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
