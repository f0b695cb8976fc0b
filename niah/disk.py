"""What is written survives a kill or a power cut: files replaced whole, JSON lines added one by one, whole folders.

Data is on the disk (fsync) before a name points to it, and the folder that holds the name after. What is begun has a
name of its own, ``.NAME.draft``: a killed process leaves that behind, and the next one that writes the same thing takes
its place.
"""

import codecs
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from niah import terminal
from niah.errors import NiahError

_BLOCK = 2**16
"""Bytes read at a time to find the end of the last whole line."""
_SUMS = ".sha256.json"
"""Of a cached folder: what is known of each of its files."""
_ALWAYS_READ = 2**26
"""Bytes of a cached folder that are hashed at each use: a fraction of a second."""
_MAX_LINE = 2**26
"""Bytes of a line: the longest of ours, an answer of a million tokens or 40,000 retrieved chunks, has a tenth."""


def _no_number(name: str) -> Any:
    raise ValueError(f"{name}, which JSON does not have")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def root() -> Path:
    """NIAH_CACHE, or ``niah`` in the user's cache folder: XDG_CACHE_HOME, which its specification wants absolute, else
    ~/.cache. Raises NiahError where there is no home folder either."""
    if named := os.environ.get("NIAH_CACHE"):
        return Path(os.path.expanduser(named))
    if os.path.isabs(cache_home := os.environ.get("XDG_CACHE_HOME", "")):
        return Path(cache_home) / "niah"
    if not os.path.isabs(home := os.path.expanduser("~")):
        raise NiahError(
            f"cache folder: this user has no home folder; got HOME={os.environ.get('HOME', '')!r}; expected a place "
            "for what is read once; set NIAH_CACHE to a folder"
        )
    return Path(home) / ".cache" / "niah"


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
    sync(file.parent)


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
            return _filled(place, make, is_sealed=False)
        finally:
            # held still: who opened it before and gets it after sees that it has no name any more, and opens it anew
            # (filelock from 4.0, _unix.py, st_nlink)
            lock.unlink(missing_ok=True)


def folder(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The cached folder ``kind/key``, filled by ``make(empty folder)`` if it is not there yet, and made anew where its
    files are not those that were written (``damage``).

    One of an earlier version, which kept no checksums, is made anew too, and taken as it is where that fails. Raises
    NiahError where the cache cannot be written, and what ``make`` raises.
    """
    place = root() / kind / key
    try:
        _sweep(place.parent)
        if place.is_dir() and not damage(place):
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock_of(place)):  # stays: many processes of a sweep may wait for it
            if not (place.is_dir() and (why := damage(place))):
                _filled(place, make)
            elif (place / _SUMS).exists():
                terminal.note(f"niah: cache folder {place}: {why}; it is made anew")
                _filled(place, make, is_anew=True)
            else:
                _of_earlier_version(place, make)
    except OSError as error:
        raise NiahError(
            f"cache folder {place.parent}: cannot be written; got {error.strerror or error}{_elsewhere(error, place)}; "
            "expected free space and write permission; set NIAH_CACHE to another folder"
        ) from error
    return place


def _elsewhere(error: OSError, place: Path) -> str:
    """Which file an error is of, where it lies outside the folder that is filled."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return f" ({name})" if name and not name.startswith(str(place.parent)) else ""


def damage(place: Path, *, is_whole: bool = False) -> str:
    """What is wrong with the files of a cached folder, by the sizes, times and sha256 that were kept of them; empty
    where nothing is.

    Bytes are read of files that were written to since, of all files up to 64 MiB together, and of larger ones where
    ``is_whole`` asks for it: what a disk changes without a word there is found by ``prepare`` and ``show``.
    """
    try:
        kept = parsed((place / _SUMS).read_bytes())
        files = {str(name): (int(one["bytes"]), int(one["mtime_ns"]), str(one["sha256"])) for name, one in kept.items()}
    except OSError:
        return "its files have no checksums, as earlier versions kept none"
    except (ValueError, KeyError, TypeError):
        return f"{_SUMS} is damaged"
    is_whole |= sum(size for size, _, _ in files.values()) <= _ALWAYS_READ
    moved = {}
    for name, (size, time, sha256) in files.items():
        try:
            status = (place / name).stat()
            if status.st_size != size:
                return f"{name} has {status.st_size:,} bytes instead of {size:,}"
            if (is_whole or status.st_mtime_ns != time) and _sha256(place / name) != sha256:
                return f"{name} holds other bytes than were written"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if status.st_mtime_ns != time:
            moved[name] = {**kept[name], "mtime_ns": status.st_mtime_ns}
    if moved:
        with suppress(OSError):  # a copy of a cache, found whole: the next use need not read these again
            replace(place / _SUMS, json.dumps({**kept, **moved}, indent=1))
    return ""


def is_cached(place: Path) -> bool:
    """Whether a folder is the cache's."""
    return place.is_relative_to(root()) and (place / _SUMS).exists()


def drop(place: Path, why: str) -> None:
    """Takes a damaged folder out of the cache, and says so: the next use makes it anew."""
    terminal.note(f"niah: cache folder {place}: {why}; it is made anew")
    shutil.rmtree(place, ignore_errors=True)


def _seal(place: Path) -> None:
    """Keeps size, time of writing and sha256 of each file."""
    kept = {}
    for file in sorted(path for path in place.rglob("*") if path.is_file() and path.name != _SUMS):
        status = file.stat()
        name = str(file.relative_to(place))
        kept[name] = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": _sha256(file)}
    replace(place / _SUMS, json.dumps(kept, indent=1))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _of_earlier_version(place: Path, make: Callable[[Path], None]) -> None:
    """A folder without checksums, whose lock is held: made anew, and kept where it cannot be."""
    try:
        terminal.note(f"niah: cache folder {place}: of an earlier version, without checksums; it is made anew, once")
        _filled(place, make, is_anew=True)
    except (NiahError, OSError) as error:
        terminal.note(f"niah: cache folder {place}: cannot be made anew ({error}); it is taken as it is")
        with suppress(OSError):
            _seal(place)


def _make_readable(folder: Path) -> None:
    """Lets others read the files in a folder as far as they may read the folder: some libraries write files that only
    their owner reads."""
    shown = folder.stat().st_mode & 0o444
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | shown)


@cache
def _sweep(kind: Path) -> None:
    """Takes away the drafts of a kind of cached folders that no process fills any more, killed ones left them; once in
    a process."""
    for draft in kind.glob(".*.draft"):
        place = draft.with_name(draft.name[1 : -len(".draft")])
        with suppress(Timeout, OSError), FileLock(_lock_of(place), timeout=0):
            shutil.rmtree(draft, ignore_errors=True)


def _lock_of(place: Path) -> str:
    """Of a cached folder: who fills it holds this."""
    return f"{place}.lock"


def _filled(
    place: Path, make: Callable[[Path], None], *, is_anew: bool = False, is_sealed: bool = True
) -> bool:
    """Makes the folder, whose lock is held: a draft that is there was left by a process that was killed. ``is_anew``:
    in the place of one that is there. ``is_sealed``: with checksums, as a cached folder has."""
    if place.is_dir() and not is_anew:
        return False
    draft = draft_of(place)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        make(draft)
        _make_readable(draft)
        if is_sealed:
            _seal(draft)
        for path in draft.rglob("*"):
            sync(path)
        sync(draft)
        if is_anew:
            shutil.rmtree(place)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(place.parent)
    return True


def sync(path: Path) -> None:
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

    Reads leave out a line torn by a crash; the first append cuts it. A last line that lacks its end of line alone is
    whole. ``what`` is what users call one of them.
    """

    def __init__(self, path: Path, what: str = "line"):
        self.path = path
        self._what = what
        self._is_whole = False
        self._size = 0
        """Bytes of the file as the last ``append`` left it, which then ``_is_whole``."""

    def whole(self) -> Iterator[tuple[int, bytes]]:
        """The lines that were written to their end, each with its number in the file and without the end of line;
        empty ones are left out.

        Raises NiahError for what is no file, cannot be read or has a line of more than 64 MiB.
        """
        if not self._is_there():
            return
        try:
            with self.path.open("rb") as file:
                number = 0
                while line := file.readline(_MAX_LINE + 1):
                    number += 1
                    if len(line) > _MAX_LINE:
                        raise NiahError(
                            f"{self.path}:{number}: a line of more than {_MAX_LINE >> 20} MiB; expected what niah "
                            "wrote; delete that line"
                        )
                    held = _without_blanks(line)
                    if held and (line.endswith(b"\n") or _is_object(held)):
                        yield number, held
        except OSError as error:
            raise NiahError(f"{self.path}: cannot be read ({error.strerror}); expected a readable file") from error

    def read(self) -> list[dict[str, Any]]:
        """All whole lines. Raises NiahError for one that is none of ours."""
        found = []
        for number, line in self.whole():
            try:
                found.append(parsed(line))
            except ValueError as error:
                raise NiahError(
                    f"{self.path}:{number}: not JSON ({error}); expected what niah wrote; delete that line"
                ) from error
        return found

    def is_torn(self) -> bool:
        """A crash cut the last line."""
        return self._is_there() and self._end()[0] < self.path.stat().st_size

    def append(self, *contents: Mapping[str, Any]) -> None:
        """Adds a line for each.

        Raises NiahError when the disk takes no more, and where something else moved or wrote the file since the last.
        """
        if not (data := b"".join(map(encoded, contents))):
            return
        self._check_untouched()
        try:
            is_new = not self.path.exists()
            if not self._is_whole and self.path.is_file():
                stop, has_end = self._end()
                if stop < self.path.stat().st_size:
                    os.truncate(self.path, stop)
                data = data if has_end else b"\n" + data
            self._is_whole = False  # until all of the new line is there
            with self.path.open("ab", buffering=0) as file:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
                self._size = os.fstat(file.fileno()).st_size
            if is_new:
                sync(self.path.parent)
            self._is_whole = True
        except OSError as error:
            raise NiahError(
                f"{self.path}: a {self._what} could not be written ({error.strerror}); the {self._what}s before it are "
                "safe; free some space, then the same command continues"
            ) from error

    def _check_untouched(self) -> None:
        if not self._is_whole:
            return
        size = self.path.stat().st_size if self.path.is_file() else None
        if size != self._size:
            now = "it is gone" if size is None else f"it has {size:,} bytes instead of {self._size:,}"
            raise NiahError(
                f"{self.path}: something else moved it or wrote to it while this command did; {now}; put it back as it "
                f"was, then the same command continues with the {self._what}s in it"
            )

    def replace(self, lines: Iterable[bytes]) -> None:
        """Puts these lines, as ``whole`` gives them, in the place of all others.

        Raises OSError when the disk takes no more.
        """
        self._is_whole = False
        with replacement(self.path) as draft:
            for line in lines:
                draft.write(line + b"\n")

    def _is_there(self) -> bool:
        """Raises NiahError for a folder, a pipe or a device in its place."""
        if self.path.exists() and not self.path.is_file():
            raise NiahError(f"{self.path}: is no file; expected what niah wrote, or nothing; move it away")
        return self.path.is_file()

    def _end(self) -> tuple[int, bool]:
        """Bytes up to the end of the last whole line, and whether that has its end of line."""
        with self.path.open("rb") as file:
            size = stop = file.seek(0, os.SEEK_END)
            place = 0
            while stop:
                start = max(0, stop - _BLOCK)
                file.seek(start)
                if (found := file.read(stop - start).rfind(b"\n")) >= 0:
                    place = start + found + 1
                    break
                stop = start
            if 0 < size - place <= _MAX_LINE:
                file.seek(place)
                last = file.read()
                if b"\0" not in last and _is_object(_without_blanks(last)):
                    return size, False
        return place, True


def _without_blanks(line: bytes) -> bytes:
    """Without white space around, the mark that editors put at a file's beginning, and the zeros of a power cut."""
    return line.removeprefix(codecs.BOM_UTF8).strip(b"\0 \t\r\n")


def parsed(line: bytes) -> dict[str, Any]:
    """A JSON object, as text in UTF-8. Raises ValueError for all else: NaN, and what is nested too deep, among it."""
    try:
        found = _DECODER.decode(line.decode())
    except RecursionError as error:
        raise ValueError("nested too deep to be read") from error
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} instead of an object")
    return found


def _is_object(line: bytes) -> bool:
    if line[:1] != b"{" or line[-1:] != b"}":
        return False
    try:
        return bool(parsed(line))
    except ValueError:
        return False


def encoded(content: Mapping[str, Any]) -> bytes:
    """One line of JSON, UTF-8. Raises ValueError for NaN, which JSON does not have."""
    return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()
