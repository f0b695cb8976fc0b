"""From run folders to readers that saw the same instances; runs that did not are refused."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from niah.config import PLACE_ONLY, flat
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.report.labels import apart
from niah.runs import store, sweeps
from niah.units import format_length

Place = tuple[int, float, int]
"""Length, depth and repeat: what names an instance among those of one task."""
_MAY_DIFFER = ("reader", "ctx", "engine", *PLACE_ONLY)
_FIRST = {"full": 0, "oracle": 1, "none": 2}
"""Readers that stand before all others, in this order."""


@dataclass(frozen=True)
class ReaderRun:
    """A finished run of one reader with one budget."""

    label: str
    folder: str
    record: RunRecord = field(repr=False)
    rows: list[Row] = field(repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the reader."""
        return self.record.reader_settings

    @property
    def reader(self) -> str:
        return self.record.reader

    @property
    def retrieves(self) -> bool:
        """Whether the model was shown chunks that a retriever chose, as the rows have it."""
        return any(row.retrieved for row in self.rows)

    @property
    def answer_tokens(self) -> int:
        return self.record.scope.answer_tokens

    def answered(self) -> dict[Place, Row]:
        return {place_of(row): row for row in self.rows if row.is_answered}


@dataclass(frozen=True)
class Group:
    """Runs of several readers on one task over one haystack by one model: ``full``, ``oracle`` and ``none`` first."""

    label: str
    readers: tuple[ReaderRun, ...]

    @property
    def full(self) -> ReaderRun | None:
        return next((one for one in self.readers if one.reader == "full"), None)

    @property
    def lengths(self) -> list[int]:
        return sorted({row.length for one in self.readers for row in one.rows})


def place_of(row: Row) -> Place:
    return row.length, row.depth, row.repeat


def gather(paths: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Groups of at least two readers, and what a reader of the result should know about the other runs."""
    folders = sweeps.runs_below(paths)
    notes: list[str] = []
    by_task: dict[str, list[ReaderRun]] = {}
    for path in dict.fromkeys(folders):
        run = _opened(path, notes)
        identity = run.record.groups("model", "task", "haystack")
        by_task.setdefault(json.dumps(identity, sort_keys=True), []).append(run)
    groups = []
    for label, runs in zip(_task_labels([json.loads(one) for one in by_task]), by_task.values(), strict=True):
        if len(runs) > 1:
            _check(runs)
            groups.append(Group(label, _in_order(_labelled(runs))))
        else:
            notes.append(f"{runs[0].folder}: left out, no other reader of {label}")
    if not groups:
        readers = ", ".join(sorted({run.reader for runs in by_task.values() for run in runs}))
        if len(by_task) > 1:
            raise NiahError(
                f"rag: {len(folders)} runs (reader {readers}) have nothing in common; expected runs of one model, task "
                "and haystack that differ in reader"
            )
        raise NiahError(
            f"rag: only one reader ({readers}); expected two or more, as python -m niah -m reader=full,bm25"
        )
    return groups, notes


def _opened(path: str, notes: list[str]) -> ReaderRun:
    folder, record = store.opened(path)
    rows = folder.rows()
    if folder.is_torn():
        notes.append(f"{path}: the last line of rows.jsonl is torn and was left out; the run's own command mends it")
    if len({row.variant for row in rows}) > 1:
        raise NiahError(
            f"{path}: has several variants; expected one KV dtype and backend a run; run each by itself with -m kv=..."
        )
    return ReaderRun("", path, record, rows)


def _task_labels(identities: Sequence[dict[str, Any]]) -> list[str]:
    """The name of each task, and up to three settings that set it apart from another of the same name."""
    flats = [flat(one) for one in identities]
    for one in flats:  # where names tell models and haystacks apart, their other settings need not
        for group in ("model", "haystack"):
            names = {other[f"{group}.name"] for other in flats}
            if len(names) == len({json.dumps(other[group], sort_keys=True) for other in identities}):
                for key in [key for key in one if key.startswith(f"{group}.") and key != f"{group}.name"]:
                    del one[key]
    keys = apart((key for key in flats[0] if key != "task.name"), flats[0], flats)
    labels = []
    for one in flats:
        own = apart(keys, one, [other for other in flats if other["task.name"] == one["task.name"]])[:3]
        parts = [f"{key.removesuffix('.name').removeprefix('task.')} {one.get(key)}" for key in own]
        labels.append(", ".join([one["task.name"], *parts]))
    return labels


def _check(runs: Sequence[ReaderRun]) -> None:
    """Raises NiahError where runs differ in more than the reader, or did not see the same instances."""
    first = runs[0]
    settings = [flat(run.record.without(_MAY_DIFFER)) for run in runs]
    for run, own in zip(runs, settings, strict=True):
        if keys := apart(sorted(settings[0].keys() | own.keys()), own, settings[:1]):
            text = ", ".join(f"{key} ({settings[0].get(key)!r} and {own.get(key)!r})" for key in keys[:4])
            raise NiahError(
                f"rag: {first.folder} and {run.folder} differ in {text}; expected runs that differ in reader alone"
            )
    seen: dict[Place, tuple[str, str]] = {}
    num_seen: dict[Place, int] = {}
    for run in runs:
        for place, row in _answers(run).items():
            sha, folder = seen.setdefault(place, (row.context_sha256, run.folder))
            if sha != row.context_sha256:
                raise NiahError(
                    f"rag: {folder} and {run.folder} saw other contexts at {format_length(row.length)}, "
                    f"depth {row.depth:g}%, repeat {row.repeat}; "
                    "expected the same: equal seed, haystack and longest length"
                )
            num_seen[place] = num_seen.get(place, 0) + 1
    if max(num_seen.values()) < 2:
        grids = "; ".join(f"{run.folder} has {_answered_lengths(run)}" for run in runs[:3])
        raise NiahError(
            f"rag: no answered trial in common: {grids}; expected lengths, depths and repeats that several readers have"
        )


def _answers(run: ReaderRun) -> dict[Place, Row]:
    """Its answered rows. Raises NiahError where there is none, or where they do not name their instance."""
    found = run.answered()
    if not found:
        raise NiahError(
            f"{run.folder}: no trial has an answer; expected answers; see its engine.log, then run it again"
        )
    if len(found) != sum(row.is_answered for row in run.rows):
        raise NiahError(
            f"{run.folder}: trials have several rows; expected one row a trial; was rows.jsonl copied together?"
        )
    if not all(row.context_sha256 for row in found.values()):
        raise NiahError(
            f"{run.folder}: rows without context_sha256, of an older niah; expected what names the instance; "
            "run it again with name=..."
        )
    return found


def _answered_lengths(run: ReaderRun) -> str:
    return ", ".join(map(format_length, sorted({length for length, _, _ in run.answered()})))


def _labelled(runs: Sequence[ReaderRun]) -> list[ReaderRun]:
    """Each with its reader's name and budget, and whatever else sets it apart from another of the same."""
    names = [f"{run.reader}{_size(run.settings)}" for run in runs]
    settings = [flat(run.settings) for run in runs]
    alike: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        alike.setdefault(name, []).append(number)
    known: dict[tuple[str, str], set[str]] = {}
    for name, numbers in alike.items():
        for key in {key for number in numbers for key in settings[number]}:
            known[name, key] = {json.dumps(settings[number].get(key)) for number in numbers}
    labelled = []
    for run, name, own in zip(runs, names, settings, strict=True):
        keys = [key for key in own if len(known[name, key]) > 1]
        if len(alike[name]) > 1 and not keys:
            twin = next(runs[number] for number in alike[name] if runs[number] is not run)
            raise NiahError(
                f"rag: {run.folder} and {twin.folder} have the same reader and settings; "
                "expected one run of each"
            )
        labelled.append(replace(run, label=" ".join([name, *(f"{key} {own[key]}" for key in keys)])))
    return labelled


def _size(settings: dict[str, Any]) -> str:
    if settings.get("budget"):
        return f" {format_length(settings['budget'])}"
    return f" top {settings['top_k']}" if "top_k" in settings else ""


def _in_order(runs: Sequence[ReaderRun]) -> tuple[ReaderRun, ...]:
    return tuple(sorted(
        runs, key=lambda run: (_FIRST.get(run.reader, len(_FIRST)), run.reader, run.settings.get("budget") or 0)
    ))
