"""What is written survives a kill: JSON lines on disk one by one, cached folders renamed into their place."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from niah.errors import NiahError


def root() -> Path:
    """NIAH_CACHE, or ``niah`` in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    if named := os.environ.get("NIAH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "niah"


def folder(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The cached folder ``kind/key``, filled by ``make(empty folder)`` if it is not there yet.

    Safe against a second process and against a kill: a half-made folder never gets the name.
    """
    place = root() / kind / key
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(place) + ".lock"):
            if place.is_dir():
                return place
            draft = Path(tempfile.mkdtemp(prefix=f".{key[:24]}-", dir=place.parent))
            try:
                make(draft)
                draft.chmod(0o755)
                draft.rename(place)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
    except OSError as error:
        raise NiahError(
            f"cache folder {place.parent}: cannot be written; got {error.strerror or error}; "
            "expected free space and write permission; set NIAH_CACHE to another folder"
        ) from error
    return place


class Lines:
    """A file of JSON objects, one a line; a line is on disk before the next is begun.

    Reads leave out a line torn by a crash; the first append cuts it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._is_whole = False

    def read(self) -> list[dict[str, Any]]:
        """All whole lines. Raises NiahError for one that is none of ours."""
        found = []
        for number, line in enumerate(self._whole().split(b"\n")[:-1], 1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise NiahError(f"{self.path}:{number}: not JSON ({error}); expected what niah wrote; delete that line") from error
        return found

    def append(self, content: dict[str, Any]) -> None:
        """Raises NiahError when the disk takes no more."""
        data = (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            if not self._is_whole and self.path.is_file():
                os.truncate(self.path, len(self._whole()))
            self._is_whole = True
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NiahError(
                f"{self.path}: a line could not be written ({error.strerror}); the lines before it are safe; free some "
                "space, then the same command continues"
            ) from error

    def _whole(self) -> bytes:
        data = self.path.read_bytes() if self.path.is_file() else b""
        return data[: data.rfind(b"\n") + 1]
