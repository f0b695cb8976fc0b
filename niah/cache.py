"""Folders made once and kept: written beside their place, then renamed into it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

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
