"""Haystack sources as tests read them: all texts, the one line of a refusal, a Python without packages."""

import re
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from niah.errors import NiahError
from niah.haystacks import Haystack
from niah.haystacks.records import Records
from tests.helpers.command import REPOSITORY

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def never(line: str) -> None:
    """For a source of which nothing may be left out."""
    raise AssertionError(f"left out: {line}")


def read(source: Haystack, skipped: list[str] | None = None) -> list[str]:
    """All texts of a source that has an end; without ``skipped`` nothing may be left out."""
    return list(source.documents(never if skipped is None else skipped.append))


def refused(source: Haystack, *words: str) -> str:
    """The one line with which the source refuses."""
    with pytest.raises(NiahError) as caught:
        read(source, [])
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    return message


def bare_python(folder: Path, code: str, *packages: ModuleType) -> subprocess.CompletedProcess:
    """Runs code where nothing but niah and the given packages is installed."""
    folder.mkdir()
    places = [REPOSITORY / "niah", *(Path(package.__file__).parent for package in packages)]
    places += [place.with_name(f"{place.name}.libs") for place in places]
    for place in filter(Path.exists, places):
        (folder / place.name).symlink_to(place)
    return subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=60
    )


def days(count: int, **settings: Any) -> list[str]:
    """The first documents of haystack=records."""
    return list(islice(Records(**settings).documents(never), count))
