"""A run's folder: run.json, and rows.jsonl with one finished trial a line, on disk before the next.

What is read here may come from elsewhere, or from a disk that lost power: each row is looked at before it is believed.
"""

import dataclasses
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from niah import disk, terminal, values
from niah.disk import Lines, encoded
from niah.errors import NiahError
from niah.records import RETRIED, Outcome, Row, RunRecord
from niah.runs import columns, record, shape
from niah.runs.control import Control
from niah.runs.record import UnreadableError
from niah.units import format_count

_RETRIED = {outcome.value for outcome in RETRIED}
_ANSWERS = {outcome.value for outcome in Outcome if outcome.is_answer}
_OUTCOMES = {outcome.value for outcome in Outcome}
_UNANSWERED = _OUTCOMES - _ANSWERS
_FIELDS = {field.name for field in dataclasses.fields(Row)}
_DECODER = msgspec.json.Decoder(Row)
_MANY = 10_000
"""Rows that are worth keeping the garbage collector off: it would look at each of their lists every now and then."""
_RUN, _ROWS, _COPY = "run.json", "rows.jsonl", ".run.json.copy"


def is_run(path: Path) -> bool:
    """Whether the folder holds a run, or what is left of one."""
    return any((path / name).is_file() for name in (_RUN, _ROWS, _COPY))


def runs_in(folder: Path) -> list[str]:
    """The names of the runs in a sweep's folder; none where it is no folder."""
    try:
        return sorted(place.name for place in folder.iterdir() if is_run(place))
    except OSError:
        return []


class RunFolder:
    """``outputs/<name>``. Use as a context manager to write: it locks out a second process, which is refused, or
    ``waits`` for its turn."""

    def __init__(self, path: Path, *, waits: bool = False):
        self.path = path
        self._waits = waits
        self.rows_path = path / _ROWS
        self.run_path = path / _RUN
        self._copy_path = path / _COPY
        self._rows = Lines(self.rows_path, "row")
        self._failures = Lines(path / "failures.jsonl", "row")
        self._controls = Lines(path / "controls.jsonl")
        self._lock = FileLock(str(path / ".lock"))
        self._said: set[str] = set()
        self._read: tuple[tuple[int, ...], list[Row]] | None = None
        """All rows, and of which state of the file they are."""

    def __enter__(self) -> "RunFolder":
        try:
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True)
                disk.sync(self.path.parent)
            self._lock.acquire(timeout=-1 if self._waits else 0)
            for file in (self.run_path, self._copy_path, self.rows_path, self._failures.path, self._controls.path):
                disk.draft_of(file).unlink(missing_ok=True)  # of a process that was killed: the lock is ours
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
        content, before = _plain(row), self._state()
        self._rows.append(content)
        if self._read and self._read[0] == before:
            self._read[1].append(_row(self.rows_path, 0, encoded(content)))
            self._read = self._state(), self._read[1]

    def rows(self) -> list[Row]:
        """All whole rows, without a line torn by a crash, each trial of a variant once. What rows of schema 1 lack
        (variant, grade, served) is empty; what a newer niah wrote beside is left out here, and stays in the file.

        Raises NiahError on lines that are no rows, and where two rows of a trial differ.
        """
        state = self._state()
        if self._read is None or self._read[0] != state:  # once: 100,000 rows take seconds
            is_on = gc.isenabled()
            gc.disable()  # it would look at all rows again and again while they are made, and find nothing
            try:
                self._read = state, [row for _, row in self._contents(self._rows)]
                if len(self._read[1]) >= _MANY:
                    gc.freeze()  # nor afterwards: they stay until the command ends
            finally:
                if is_on:
                    gc.enable()
        return list(self._read[1])

    def _state(self) -> tuple[int, ...]:
        """Another one whenever rows.jsonl may hold other rows."""
        try:
            status = self.rows_path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def failures(self) -> list[Row]:
        """Rows of trials that failed and were asked again."""
        found = {line: number for number, line in self._failures.whole()}
        return [_row(self._failures.path, number, line) for line, number in found.items()]

    def columns(self) -> columns.Columns:
        """The same rows as arrays, which take less memory."""
        return columns.of_rows(row for _, row in self._contents(self._rows))

    def append_control(self, content: dict[str, Any]) -> None:
        """Adds a line to controls.jsonl, on disk before this returns."""
        self._controls.append(content)

    def controls(self) -> list[dict[str, Any]]:
        """All whole lines of controls.jsonl. Raises NiahError for one that is no control."""
        found = self._controls.read()
        for number, one in enumerate(found, 1):
            if wrong := shape.misfit(Control, one, is_whole=True):
                raise NiahError(
                    f"{self._controls.path}: control {number} is none of niah's ({wrong}); expected what niah wrote; "
                    "delete that line, or the file"
                )
        return found

    def drop_retried(
        self, is_stale: Callable[[Row], bool] = lambda row: False, is_kept: Callable[[Row], bool] = lambda row: False
    ) -> list[Row]:
        """Before a run continues: cuts a torn last line, leaves out lines that stand twice, moves failed trials and
        stale ones to failures.jsonl, but for those that are kept.

        Returns the rows that stay.
        """
        if not self.rows_path.exists():
            return []
        rows = self.rows()
        is_out = [(row.outcome in _RETRIED or is_stale(row)) and not is_kept(row) for row in rows]
        failed = list(compress(rows, is_out))
        stay = [row for row, out in zip(rows, is_out, strict=True) if not out]
        if failed:
            known = {line for _, line in self._failures.whole()}  # a kill may have come between this and what follows
            self._failures.append(*(_plain(row) for row in failed if encoded(_plain(row)).rstrip() not in known))
        if len(stay) < sum(1 for _ in self._rows.whole()) or self.is_torn():
            lines = (line for line, _ in self._contents(self._rows))
            try:
                self._rows.replace([line for line, out in zip(lines, is_out, strict=True) if not out])
            except OSError as error:
                raise self._unwritable(error, self.rows_path) from error
        return stay

    def replace_rows(self, rows: Iterable[Row]) -> None:
        """Puts these rows, which are all that ``rows`` gave, changed, in the place of those; what a newer niah wrote
        beside stays.

        In one step. Raises NiahError where the disk takes no more.
        """
        def lines() -> Iterator[bytes]:
            for (before, _), row in zip(self._contents(self._rows), rows, strict=True):
                beside = {key: value for key, value in disk.parsed(before).items() if key not in _FIELDS}
                yield encoded({**_plain(row), **beside}).rstrip(b"\n")

        try:
            self._rows.replace(lines())
        except OSError as error:
            raise self._unwritable(error, self.rows_path) from error

    def record(self) -> RunRecord | None:
        """run.json, else its copy; None where this folder has neither.

        Raises UnreadableError where both are damaged, NiahError where it is none of ours.
        """
        damage = None
        if self.run_path.exists():
            try:
                return record.read(self.run_path)
            except UnreadableError as error:
                damage = error
        with suppress(UnreadableError):
            if self._copy_path.is_file():
                found = record.read(self._copy_path)
                why = "is damaged" if damage else "is gone"
                self._note(f"{self.run_path}: {why}; read from its copy, {_COPY}; the next write mends it")
                return found
        if damage:
            raise damage
        return None

    def has_record(self) -> bool:
        """Whether run.json itself is there and readable."""
        try:
            return record.read(self.run_path) is not None
        except UnreadableError:
            return False

    def write_record(self, content: RunRecord) -> None:
        """Replaces run.json in one step, then its copy, which is there should the first be lost."""
        text = record.text(content)
        try:
            disk.replace(self.run_path, text)
        except OSError as error:
            raise self._unwritable(error, self.run_path) from error
        with suppress(OSError):  # the run itself needs it not
            disk.replace(self._copy_path, text)

    def is_torn(self) -> bool:
        """A crash cut the last line of rows.jsonl; it is left out wherever rows are read."""
        return self._rows.is_torn()

    def _contents(self, lines: Lines) -> Iterator[tuple[bytes, Row]]:
        """Each row's line and the row, once. Raises NiahError as ``rows`` does."""
        first: dict[tuple[str, int], tuple[int, int]] = {}
        num_twice = 0
        for number, line in lines.whole():
            row = _row(lines.path, number, line)
            key, own = (row.variant, row.trial), hash(line)
            if key not in first:
                first[key] = number, own
                yield line, row
            elif first[key][1] == own:
                num_twice += 1
            else:
                name = f" of {key[0]}" if key[0] else ""
                raise NiahError(
                    f"{lines.path}:{number}: a second row of trial {key[1]}{name}, other than that of line "
                    f"{first[key][0]}; expected one row a trial; was it copied together? delete one of the two"
                )
        if num_twice:
            rows = "1 row stands" if num_twice == 1 else f"{num_twice:,} rows stand"
            self._note(f"{lines.path}: {rows} there twice; each is counted once")

    def _note(self, text: str) -> None:
        """Says it once."""
        if text not in self._said:
            self._said.add(text)
            terminal.note(f"niah: {text}")

    def _unwritable(self, error: OSError, file: Path | None = None) -> NiahError:
        where = f"{file or self.path}: cannot be written ({error.strerror})"
        if file and self.rows_path.is_file():
            return NiahError(
                f"{where}; the rows in {_ROWS} are safe; free some space, then the same command continues"
            )
        return NiahError(f"{where}; expected a writable folder with free space; set outputs=...")


def _row(file: Path, number: int, line: bytes) -> Row:
    """The row that a line holds. Raises NiahError where it is none.

    What msgspec takes for a row is one, and most are; only the rest, such as half an emoji, goes the long way that has
    the words for what is wrong.
    """
    try:
        row = _DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        row = None
    if row is not None and row.outcome in (_UNANSWERED if row.score is None else _ANSWERS):
        return row
    content = _content(file, number, line)
    return Row(**{key: value for key, value in content.items() if key in _FIELDS})


def _content(file: Path, number: int, line: bytes) -> dict[str, Any]:
    """What a line holds, which is a row. Raises NiahError where it is none."""
    try:
        content = disk.parsed(line)
        if wrong := shape.misfit(Row, content, is_whole=True) or _wrong(content):
            raise ValueError(wrong)
    except ValueError as error:
        raise NiahError(
            f"{file}:{number}: not a row of this version ({error}); expected what niah wrote; mend or delete that line"
        ) from error
    return content


def _wrong(content: dict[str, Any]) -> str:
    """What a row of the right types says that none can; else empty."""
    outcome, score = content["outcome"], content["score"]
    if outcome not in _OUTCOMES:
        return f"outcome is {shape.shortened(outcome)}, expected one of {', '.join(sorted(_OUTCOMES))}"
    if score is not None and not 0 <= score <= 1:
        return f"score is {shape.shortened(score)}, expected a share from 0 to 1"
    if (score is not None) != (outcome in _ANSWERS):
        return f"score is {shape.shortened(score)} of a trial that is {outcome}"
    low = next((key for key in ("trial", "length", "repeat") if content[key] < 0), None)
    return f"{low} is {content[low]}, expected 0 or more" if low else ""


def _plain(row: Row) -> dict[str, Any]:
    """The row as a line holds it: fields that came later are left out where they hold nothing."""
    content = dataclasses.asdict(row)
    for field in dataclasses.fields(Row):
        nothing = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.metadata.get("optional") and content[field.name] == nothing:
            del content[field.name]
    return content


def settings_of(found: RunRecord) -> dict[str, Any]:
    """The run's settings as plain data, with what they took from the environment in them again.

    Raises NiahError where that holds other values now.
    """
    return values.as_recorded(found.config, found.environment_values)


def open_for_reading(path: str, *, needs_settings: bool = True) -> tuple[RunFolder, RunRecord, list[Row]]:
    """Folder, record and rows of a stored run. Raises NiahError as ``opened`` does."""
    folder, found = opened(path, needs_settings=needs_settings)
    return folder, found, folder.rows()


def opened(path: str, *, needs_settings: bool = True) -> tuple[RunFolder, RunRecord]:
    """Folder and record of a stored run, its rows not read yet. Where run.json is lost, with its copy, the record has
    what the rows tell (``is_of_rows``), which is enough unless the run's settings are needed.

    Raises NiahError where there is no run, or no settings where they are needed.
    """
    folder = RunFolder(Path(path))
    damage: NiahError | None = None
    try:
        if (found := folder.record()) is not None:
            return folder, found
    except UnreadableError as error:
        damage = error
    if not folder.rows_path.is_file():
        if damage is None and (inside := runs_in(Path(path))):
            raise NiahError(
                f"{path}: holds {format_count(len(inside), 'run')}, and is none itself; expected one of them, as "
                f"{Path(path) / inside[0]}"
            )
        raise damage or NiahError(f"{path}: no run here; expected a folder with run.json, as outputs/NAME")
    lost = f"{folder.run_path}: {'is damaged' if damage else 'is gone'}, and has no copy"
    again = f"the command that made the run writes it anew, with name={folder.path.resolve().name}"
    if needs_settings or not (rows := folder.rows()):
        raise NiahError(f"{lost}; this needs the run's settings; {again}")
    folder._note(f"{lost}; what follows is from rows.jsonl alone; {again}")
    return folder, record.of_rows(rows, folder.path.resolve().name)
