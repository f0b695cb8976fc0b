"""What is written survives a kill or a power cut: files replaced whole, JSON lines added one by one, whole folders.

Data is on the disk (fsync) before a name points to it, and the folder that holds the name after. What is begun has a
name of its own, ``.NAME.draft``: a killed process leaves that behind, and the next one that writes the same thing takes
its place.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from niah.errors import NiahError

_BLOCK = 2**16
"""Bytes read at a time to find the end of the last whole line."""


def root() -> Path:
    """NIAH_CACHE, or ``niah`` in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    if named := os.environ.get("NIAH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "niah"


def draft_of(place: Path) -> Path:
    """Where a file or folder is until it is whole."""
    return place.with_name(f".{place.name}.draft")


@contextmanager
def replacement(file: Path) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of ``file`` when the block ends.

    Where the block fails, or the disk takes no more (OSError), ``file`` stays as it was.
    """
    draft = draft_of(file)
    try:
        with draft.open("wb") as content:
            yield content
            content.flush()
            os.fsync(content.fileno())
        draft.replace(file)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    _sync(file.parent)


def replace(file: Path, content: str | bytes) -> None:
    """Gives ``file`` this content in one step, text as UTF-8. Raises OSError where the disk takes no more."""
    with replacement(file) as draft:
        draft.write(content.encode() if isinstance(content, str) else content)


def fill(place: Path, make: Callable[[Path], None]) -> bool:
    """Makes the folder ``place``, filled by ``make(empty folder)``; False where it was there already.

    Safe against a second process that makes the same. Raises OSError where it cannot be written; whatever ``make``
    raises leaves nothing behind.
    """
    if place.is_dir():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = place.with_name(f".{place.name}.lock")
    with FileLock(lock):
        try:
            return _filled(place, make)
        finally:
            lock.unlink(missing_ok=True)


def folder(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The cached folder ``kind/key``, filled by ``make(empty folder)`` if it is not there yet.

    Raises NiahError where the cache cannot be written.
    """
    place = root() / kind / key
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(place) + ".lock"):  # stays: many processes of a sweep may wait for it
            _filled(place, make)
    except OSError as error:
        raise NiahError(
            f"cache folder {place.parent}: cannot be written; got {error.strerror or error}; "
            "expected free space and write permission; set NIAH_CACHE to another folder"
        ) from error
    return place


def _filled(place: Path, make: Callable[[Path], None]) -> bool:
    """Makes the folder, whose lock is held: a draft that is there was left by a process that was killed."""
    if place.is_dir():
        return False
    draft = draft_of(place)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        make(draft)
        for path in draft.rglob("*"):
            _sync(path)
        _sync(draft)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync(place.parent)
    return True


def _sync(path: Path) -> None:
    """Waits until a file's content, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():  # there are file systems that know no fsync of a folder
            raise
    finally:
        os.close(handle)


class Lines:
    """A file of JSON objects, one a line; a line is on disk before the next is begun.

    Reads leave out a line torn by a crash; the first append cuts it. ``what`` is what users call one of them.
    """

    def __init__(self, path: Path, what: str = "line"):
        self.path = path
        self._what = what
        self._is_whole = False

    def whole(self) -> list[bytes]:
        """The lines that were written to their end, as bytes without the end of line; empty ones are left out."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        return [line for line in data.split(b"\n")[:-1] if line.strip()]

    def read(self) -> list[dict[str, Any]]:
        """All whole lines. Raises NiahError for one that is none of ours."""
        found = []
        for number, line in enumerate(self.whole(), 1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise NiahError(
                    f"{self.path}:{number}: not JSON ({error}); expected what niah wrote; delete that line"
                ) from error
        return found

    def is_torn(self) -> bool:
        """A crash cut the last line."""
        return self.path.is_file() and self._num_whole_bytes() < self.path.stat().st_size

    def append(self, *contents: Mapping[str, Any]) -> None:
        """Adds a line for each. Raises NiahError when the disk takes no more."""
        data = b"".join(map(encoded, contents))
        try:
            if not self._is_whole and self.is_torn():
                os.truncate(self.path, self._num_whole_bytes())
            self._is_whole = False  # until all of the new line is there
            with self.path.open("ab", buffering=0) as file:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            self._is_whole = True
        except OSError as error:
            raise NiahError(
                f"{self.path}: a {self._what} could not be written ({error.strerror}); the {self._what}s before it are "
                "safe; free some space, then the same command continues"
            ) from error

    def replace(self, lines: Iterable[bytes]) -> None:
        """Puts these lines, as ``whole`` gives them, in the place of all others.

        Raises OSError when the disk takes no more.
        """
        with replacement(self.path) as draft:
            for line in lines:
                draft.write(line + b"\n")

    def _num_whole_bytes(self) -> int:
        """Bytes up to the end of the last whole line."""
        with self.path.open("rb") as file:
            stop = file.seek(0, os.SEEK_END)
            while stop:
                start = max(0, stop - _BLOCK)
                file.seek(start)
                if (place := file.read(stop - start).rfind(b"\n")) >= 0:
                    return start + place + 1
                stop = start
        return 0


def encoded(content: Mapping[str, Any]) -> bytes:
    """One line of JSON, UTF-8. Raises ValueError for NaN, which JSON does not have."""
    return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()
