"""Disks that are full: of a size that a file may not pass, or with little room left, for results or for the cache."""

import ctypes
import os
import random

from tests.faults.kills import Disturbed
from tests.faults.ledger import Ledger, rows_of
from tests.faults.testbed import BASE, Ended, Testbed, no_larger_files_than

_SIZE = 32 << 20
"""Bytes of a disk of its own, where this process may mount one."""
_LARGEST = 300_000
"""Bytes: no file of the testbed's commands is larger."""
_libc = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _PRIVATE = 0x20000, 0x4000 | 1 << 18
"""CLONE_NEWNS; MS_REC and MS_PRIVATE (linux/sched.h, linux/mount.h)."""


class Disks(Disturbed):
    """The commands of ``Kills``, out of room at a byte; then with room again."""

    def __init__(self, bed: Testbed, ledger: Ledger, rng: random.Random):
        is_root = _libc.unshare(_NEW_MOUNTS) == 0 and _libc.mount(b"none", b"/", None, _PRIVATE, None) == 0
        self.mounts = [place for place in (bed.work / "outputs", bed.cache) if is_root and _mounted(place)]
        super().__init__(bed, ledger, rng)

    def disturb(self, words: tuple[str, ...]) -> tuple[Ended, str, int | None]:
        num_bytes = int(_LARGEST ** self.rng.random())
        if not self.mounts or self.rng.random() < 0.4:
            ended = self.bed.run(*words, before=no_larger_files_than(num_bytes))
            return ended, f"EFBIG beyond {num_bytes} bytes", None
        disk = self.rng.choice(self.mounts)
        free = os.statvfs(disk)
        with (disk / ".ballast").open("wb") as file:
            file.truncate(0)
            left = max(0, free.f_bavail * free.f_frsize - num_bytes)
            file.write(bytes(left))
        ended, what = self.bed.run(*words), f"ENOSPC after {num_bytes} bytes in {disk.name}"
        if words[0] in BASE and ended.code and rows_of(self.outputs / "a/rows.jsonl")[0] and "safe" not in ended.last:
            self.ledger.fault("wrong", what, self.bed, ended, "nothing is said of the rows that are there")
        return ended, what, None

    def restore(self) -> None:
        for disk in self.mounts:
            (disk / ".ballast").unlink(missing_ok=True)


def _mounted(place: os.PathLike) -> bool:
    """Whether a disk of its own is there now, for this process and its children: it goes with them."""
    os.makedirs(place, exist_ok=True)
    options = f"size={_SIZE}".encode()
    return _libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, options) == 0
