"""What a file that was downloaded holds: JSON, or what a broken download left in its place, said in one line."""

import json
from pathlib import Path
from typing import Any

from niah.errors import NiahError, first_line

_HEAD = 512
"""Bytes from which it shows what a file is instead."""
_POINTER = b"version https://git-lfs.github.com/spec/"
_FETCH = "fetch that file again"


def mistaken(file: Path) -> str:
    """What a file is instead of its own content, with what to do: empty, a pointer of Git LFS, a page, a part of a
    download. Empty where it looks like none of these."""
    with file.open("rb") as content:
        head = content.read(_HEAD)
    plain = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return f"it is empty; {_FETCH}"
    if head.startswith(_POINTER):
        return "it is a pointer of Git LFS, not the file; run git lfs pull in its folder, or fetch that file again"
    if plain.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return f"it is a web page, not the file; {_FETCH}, from its download address"
    if not head.strip(b"\0"):
        return f"it holds zeros alone, as a download that was cut does; {_FETCH}"
    return ""


def text(file: Path, where: str) -> str:
    """A file's text. Raises NiahError, which names the setting ``where``, for what is no UTF-8 or no content at all."""
    try:
        if wrong := mistaken(file):
            raise NiahError(f"{where}: {file} cannot be used: {wrong}")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NiahError(f"{where}: {file} cannot be read ({first_line(error)}); expected text; {_FETCH}") from error


def json_object(file: Path, where: str) -> dict[str, Any]:
    """The object that a JSON file holds. Raises NiahError, which names the setting ``where``, for anything else."""
    content = text(file, where)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NiahError(
            f"{where}: {file} is not JSON, or was cut ({first_line(error)}); expected an object; {_FETCH}"
        ) from error
    if not isinstance(found, dict):
        raise NiahError(f"{where}: {file} holds a {type(found).__name__}; expected a JSON object; {_FETCH}")
    return found
