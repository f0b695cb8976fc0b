"""The base of all trackers: what one is told of a run, and when."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from niah.report.text_table import Rows

PROJECT = "niah"
"""What a tracker's project or experiment is called, where its own variables name none."""


@dataclass(frozen=True)
class Told:
    """A run: the ``name`` of its folder, an ``id`` that stays when it is continued, and its settings by full key."""

    name: str
    id: str
    folder: Path
    settings: Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Results:
    """What a finished run has: ``step`` is its number of trials, ``numbers`` by name, ``tables`` with a line of names
    first, ``pictures`` by name (PNG), and the page, None where none was written."""

    step: int
    numbers: Mapping[str, float]
    tables: Mapping[str, Rows]
    pictures: Mapping[str, Path]
    page: Path | None


class Tracker(ABC):
    """One run in one tracker; each method is called from the same thread, and may raise whatever it meets.

    To add one: a file beside this with a subclass, and a line in ``trackers.KNOWN``. Where the runs go is for the
    package's own variables to say.
    """

    module: ClassVar[str]
    """The Python module, without which it cannot be used."""
    package: ClassVar[str]
    """The package that has it, as pip knows it."""

    @abstractmethod
    def begin(self, told: Told) -> str:
        """Opens the run, or continues it; returns where it is to be seen."""

    @abstractmethod
    def progress(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a run that goes on, after ``step`` trials."""

    @abstractmethod
    def results(self, results: Results) -> None:
        """Numbers, tables, pictures and the page."""

    @abstractmethod
    def end(self, *, is_done: bool) -> None:
        """Closes the run; ``is_done`` is false for one that was stopped."""
