"""A run's folder: run.json, and rows.jsonl with one finished trial a line, on disk before the next."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from itertools import compress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from niah.disk import Lines, encoded, replace
from niah.errors import NiahError
from niah.records import RETRIED, Row, RunRecord
from niah.runs import columns, record

_RETRIED = {outcome.value for outcome in RETRIED}


class RunFolder:
    """``outputs/<name>``. Use as a context manager to write: it locks out a second process."""

    def __init__(self, path: Path):
        self.path = path
        self.rows_path = path / "rows.jsonl"
        self.run_path = path / "run.json"
        self._rows = Lines(self.rows_path, "row")
        self._failures = Lines(path / "failures.jsonl", "row")
        self._controls = Lines(path / "controls.jsonl")
        self._lock = FileLock(str(path / ".lock"))

    def __enter__(self) -> "RunFolder":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise NiahError(
                f"{self.path}: another process is running in this folder; wait for it or take another name="
            ) from error
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def append(self, row: Row) -> None:
        """Writes one row through to the disk. Raises NiahError when the disk takes no more."""
        self._rows.append(_plain(row))

    def rows(self) -> list[Row]:
        """All whole rows, without a line torn by a crash. What rows of schema 1 lack (variant, grade, served) is empty.

        Raises NiahError on foreign lines.
        """
        return [self._row(self.rows_path, number, line) for number, line in enumerate(self._rows.whole(), 1)]

    def failures(self) -> list[Row]:
        """Rows of trials that failed and were asked again."""
        return [self._row(self._failures.path, number, line) for number, line in enumerate(self._failures.whole(), 1)]

    def columns(self) -> columns.Columns:
        """The same rows as arrays, read some times faster."""
        lines = self._rows.whole()
        try:
            return columns.of_dicts(map(json.loads, lines))
        except (ValueError, TypeError, KeyError, AttributeError):
            return columns.of_rows(self.rows())  # names the line that is no row

    def append_control(self, content: dict[str, Any]) -> None:
        """Adds a line to controls.jsonl, on disk before this returns."""
        self._controls.append(content)

    def controls(self) -> list[dict[str, Any]]:
        """All whole lines of controls.jsonl."""
        return self._controls.read()

    def drop_retried(
        self, is_stale: Callable[[Row], bool] = lambda row: False, is_kept: Callable[[Row], bool] = lambda row: False
    ) -> list[Row]:
        """Before a run continues: cuts a torn last line, moves failed trials and stale ones to failures.jsonl, but for
        those that are kept.

        Returns the rows that stay.
        """
        if not self.rows_path.exists():
            return []
        lines, rows = self._rows.whole(), self.rows()
        is_failed = [(row.outcome in _RETRIED or is_stale(row)) and not is_kept(row) for row in rows]
        if failed := list(compress(rows, is_failed)):
            self._failures.append(*map(_plain, failed))
        if failed or self.is_torn():
            try:
                self._rows.replace(line for line, is_out in zip(lines, is_failed, strict=True) if not is_out)
            except OSError as error:
                raise self._unwritable(error) from error
        return [row for row, is_out in zip(rows, is_failed, strict=True) if not is_out]

    def replace_rows(self, rows: Iterable[Row]) -> None:
        """Puts these rows in the place of all others, in one step. Raises NiahError where the disk takes no more."""
        try:
            self._rows.replace(encoded(_plain(row)).rstrip(b"\n") for row in rows)
        except OSError as error:
            raise self._unwritable(error) from error

    def record(self) -> RunRecord | None:
        """run.json, or None where this folder holds no run yet. Raises NiahError where it is none of ours."""
        return record.read(self.run_path) if self.run_path.is_file() else None

    def write_record(self, content: RunRecord) -> None:
        """Replaces run.json in one step."""
        try:
            replace(self.run_path, record.text(content))
        except OSError as error:
            raise self._unwritable(error) from error

    def is_torn(self) -> bool:
        """A crash cut the last line of rows.jsonl; it is left out wherever rows are read."""
        return self._rows.is_torn()

    def _row(self, file: Path, number: int, line: bytes) -> Row:
        try:
            return Row(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise NiahError(
                f"{file}:{number}: not a row of this version ({error}); expected what niah wrote; "
                "mend or delete that line"
            ) from error

    def _unwritable(self, error: OSError) -> NiahError:
        return NiahError(
            f"{self.path}: cannot be written ({error.strerror}); expected a writable folder with free space; "
            "set outputs=..."
        )


def _plain(row: Row) -> dict[str, Any]:
    """The row as a line holds it: fields that came later are left out where they hold nothing."""
    content = dataclasses.asdict(row)
    for field in dataclasses.fields(Row):
        if field.metadata.get("optional") and content[field.name] == field.default:
            del content[field.name]
    return content


def open_for_reading(path: str) -> tuple[RunFolder, RunRecord, list[Row]]:
    """Folder, record and rows of a stored run. Raises NiahError where there is none."""
    folder, record = opened(path)
    return folder, record, folder.rows()


def opened(path: str) -> tuple[RunFolder, RunRecord]:
    """Folder and record of a stored run, its rows not read yet. Raises NiahError where there is none."""
    folder = RunFolder(Path(path))
    found = folder.record()
    if found is None:
        raise NiahError(f"{path}: no run here; expected a folder with run.json, as outputs/NAME")
    return folder, found
