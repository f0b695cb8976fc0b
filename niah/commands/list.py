"""The verb ``list``: the runs in a folder, a line each, as text, JSON, CSV or LaTeX; index.html over their pages."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from niah.commands.results import without_nan, write
from niah.commands.words import own_words
from niah.errors import NiahError
from niah.records import RunRecord
from niah.report import labels, number_tables
from niah.report.page import document
from niah.report.text_table import Rows, aligned, width
from niah.runs import store, sweeps
from niah.runs.columns import Columns
from niah.terminal import say
from niah.units import format_bytes, format_count, format_length

INDEX = "index.html"
_FORMATS = ("text", "json", "csv", "latex")
_MAX_DIFFERS = 60
"""Characters in a terminal's column; index.html, JSON and CSV have all."""
_MAX_DEPTH = 4
"""Folders within folders that are looked into for runs."""


@dataclass(frozen=True)
class Listed:
    """A run in a list. ``differs`` are the settings in which those of a folder differ that are alike otherwise, as the
    seeds of a sweep; ``accuracy`` is of all answers, None without any; ``changed`` is when its rows were last written
    (UTC); ``bytes`` are those of all its files; ``trouble`` says why the rest is not known."""

    folder: str
    model: str = ""
    task: str = ""
    haystack: str = ""
    reader: str = ""
    variants: tuple[str, ...] = ()
    differs: str = ""
    engine: str = ""
    lengths: tuple[int, ...] = ()
    num_planned: int = 0
    num_answers: int = 0
    accuracy: float | None = None
    changed: str = ""
    bytes: int = 0
    has_page: bool = False
    trouble: str = ""


def main(words: list[str]) -> int:
    """Exit code of ``list [DIR] [format=json]``."""
    own, rest = own_words({"format": "text"}, words)
    if own["format"] not in _FORMATS:
        raise NiahError(f"list format: got {own['format']!r}; expected one of {', '.join(_FORMATS)}")
    if len(rest) > 1 or any("=" in word and not Path(word).is_dir() for word in rest):
        raise NiahError(f"list: got {rest[-1]!r}; expected list [DIR] [format=json]")
    root = Path(os.path.expanduser(rest[0] if rest else "outputs"))
    if not root.is_dir():
        raise NiahError(f"list: {root}: no such folder; expected one that holds runs, as list outputs")
    found = runs(root)
    if own["format"] == "json":
        say(json.dumps(without_nan([asdict(one) for one in found]), indent=1))
    elif own["format"] in ("csv", "latex"):
        rows = _rows(found)
        say((number_tables.as_csv(rows) if own["format"] == "csv" else number_tables.as_latex(rows)).rstrip("\n"))
    elif not found:
        say(f"{root}: no run here")
    else:
        say(*table(found, datetime.now(UTC)))
    return 0


def runs(root: Path) -> list[Listed]:
    """Every run in the folder and the folders in it, the last changed first."""
    opened = [_opened(path) for path in _below(root, _MAX_DEPTH)]
    alike: dict[tuple[Any, ...], list[int]] = {}
    for number, (one, config) in enumerate(opened):
        if config:
            key = (Path(one.folder).parent, one.model, one.task, one.haystack, one.reader, one.variants)
            alike.setdefault(key, []).append(number)
    found = [one for one, _ in opened]
    for numbers in alike.values():
        for number, parts in zip(numbers, sweeps.labels([opened[one][1] for one in numbers]), strict=True):
            found[number] = replace(found[number], differs=", ".join(parts))
    return sorted(found, key=lambda one: (one.changed, one.folder), reverse=True)


def _below(folder: Path, depth: int) -> list[Path]:
    """Folders of runs; links are not followed, hidden folders not entered."""
    if store.is_run(folder):
        return [folder]
    if not depth:
        return []
    try:
        inside = sorted(place for place in folder.iterdir() if place.is_dir() and not place.is_symlink())
    except OSError:
        return []
    return [run for place in inside if not place.name.startswith(".") for run in _below(place, depth - 1)]


def listed(path: Path) -> Listed:
    """What a list says of a run; one that cannot be read says why."""
    return _opened(path)[0]


def _opened(path: Path) -> tuple[Listed, Mapping[str, Any]]:
    """The same, with the run's settings; without any where they are not known."""
    size, changed = _size(path)
    try:
        folder, record = store.opened(str(path), needs_settings=False)
        return _summary(path, record, folder.columns(), size, changed), record.config
    except NiahError as error:
        return Listed(str(path), bytes=size, changed=changed, trouble=str(error)), {}


def _summary(path: Path, record: RunRecord, columns: Columns, size: int, changed: str) -> Listed:
    answered = columns.answered
    return Listed(
        folder=str(path), model=record.model_title, task=record.task_title, haystack=record.haystack,
        reader=record.reader,
        variants=tuple(record.scope.variants or columns.variants()), engine=record.engine_name,
        lengths=tuple(record.lengths or np.unique(columns.length).tolist()),
        num_planned=record.scope.num_trials or len(columns), num_answers=int(answered.sum()),
        accuracy=round(float(columns.score[answered].mean()), 6) if answered.any() else None,
        changed=changed, bytes=size, has_page=(path / document.PAGE).is_file(),
    )


def _size(path: Path) -> tuple[int, str]:
    """Bytes of the files in a run's folder, and when its rows (else its record) were last written."""
    size, last = 0, 0.0
    for file in path.iterdir():
        try:
            status = file.stat()
        except OSError:
            continue
        if file.is_file():
            size += status.st_size
        if file.name in ("rows.jsonl", "run.json"):
            last = max(last, status.st_mtime)
    return size, datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds") if last else ""


def table(found: Sequence[Listed], now: datetime) -> list[str]:
    """Lines of text; ages are counted from ``now``."""
    head = ["folder", "model", "task", "reader", "KV", "differs", "lengths", "trials", "accuracy", "age", "size"]
    rows = [head, *(_cells(one, now) for one in found)]
    if not any(one.differs for one in found):
        place = head.index("differs")
        rows = [row[:place] + row[place + 1 :] for row in rows]
    num_texts = rows[0].index("trials")
    widths = [-max(width(row[column]) for row in rows) for column in range(num_texts)]
    widths += [max(width(row[column]) for row in rows) for column in range(num_texts, len(rows[0]))]
    notes = [f"{one.folder}: {one.trouble}" for one in found if one.trouble]
    return [line.rstrip() for line in aligned(rows, widths)] + notes


def _cells(one: Listed, now: datetime) -> list[str]:
    if one.trouble:
        return [one.folder, "cannot be read", *[""] * 7, age(one.changed, now), format_bytes(one.bytes)]
    ends = dict.fromkeys(format_length(length) for length in (one.lengths[:1] + one.lengths[-1:]))
    fake = " (fake)" if one.engine == "fake" else ""
    return [
        one.folder, one.model + fake, one.task, one.reader, ",".join(one.variants), _short(one.differs), "-".join(ends),
        f"{one.num_answers:,}/{one.num_planned * max(1, len(one.variants)):,}",
        "-" if one.accuracy is None else f"{one.accuracy:.2f}", age(one.changed, now), format_bytes(one.bytes),
    ]


def _short(text: str) -> str:
    return text if len(text) <= _MAX_DIFFERS else text[: _MAX_DIFFERS - 3] + "..."


def age(changed: str, now: datetime) -> str:
    """Since when, in the largest unit; a file of the future, as a clock that was set makes it, is of now."""
    if not changed:
        return "-"
    seconds = max(0.0, (now - datetime.fromisoformat(changed)).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _rows(found: Sequence[Listed]) -> Rows:
    """A line of names, then a line a run."""
    return [
        list(Listed.__dataclass_fields__), *([_plain(value) for value in asdict(one).values()] for one in found)
    ]


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def write_index(root: Path) -> list[str]:
    """index.html over the runs below a folder, with links to their pages; the line to print."""
    found = [asdict(one) for one in runs(root)]
    for one in found:
        inside = Path(one["folder"]).relative_to(root)
        one["name"], one["page"] = str(inside), (inside / document.PAGE).as_posix() if one["has_page"] else ""
    title = f"{format_count(len(found), 'run')} in {root.resolve().name}"
    fake = labels.made_up_lines([(str(one["name"]), str(one["engine"])) for one in found if one["engine"]])
    content = {"title": title, "sentences": [], "warnings": fake, "runs": found}
    write(root / INDEX, "".join(document.parts(without_nan(content), (), {}, script="index.js")))
    return [f"index: {root / INDEX}"]
