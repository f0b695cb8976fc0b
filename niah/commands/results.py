"""Where verbs put their results: folders that are made, files that are replaced, numbers that JSON knows."""

import math
import os
from pathlib import Path
from typing import Any

from niah import disk
from niah.errors import NiahError


def make(folder: Path) -> Path:
    """The folder, with ~ as the home folder, made where it is missing. Raises NiahError where it cannot be."""
    folder = Path(os.path.expanduser(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NiahError(
            f"{folder}: cannot be written ({error.strerror}); expected a writable folder; name another one"
        ) from error
    return folder


def write(file: Path, text: str) -> None:
    """Replaces the file in one step. Raises NiahError where the disk takes no more."""
    try:
        disk.replace(file, text)
    except OSError as error:
        raise NiahError(
            f"{file}: cannot be written ({error.strerror}); free some space or name another folder (out)"
        ) from error


def without_nan(value: Any) -> Any:
    """The same as JSON knows it, which has neither NaN nor infinity: null."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
