"""From run folders to readers that saw the same instances; runs that did not are refused."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from niah.config import PLACE_ONLY, flat
from niah.errors import NiahError
from niah.records import Outcome, Row, RunRecord
from niah.runs import store
from niah.units import format_length

Key = tuple[int, float, int]
_RETRIEVING = "chunk_tokens"  # a setting that every retrieving reader has
_MAY_DIFFER = ("reader", "ctx", "engine", *PLACE_ONLY)


@dataclass(frozen=True)
class Arm:
    """One reader with one budget: a run."""

    label: str
    folder: str
    record: RunRecord = field(repr=False)
    rows: list[Row] = field(repr=False)

    @property
    def reader(self) -> str:
        return self.record.reader

    @property
    def retrieves(self) -> bool:
        return _RETRIEVING in self.record.reader_settings

    @property
    def answer_tokens(self) -> int:
        return self.record.scope.answer_tokens

    def answered(self) -> dict[Key, Row]:
        return {key(row): row for row in self.rows if Outcome(row.outcome).is_answer}


@dataclass(frozen=True)
class Group:
    """Readers of one task over one haystack by one model; ``full`` first, then ``none`` and ``oracle``."""

    label: str
    arms: tuple[Arm, ...]

    @property
    def full(self) -> Arm | None:
        return next((arm for arm in self.arms if arm.reader == "full"), None)

    @property
    def lengths(self) -> list[int]:
        return sorted({row.length for arm in self.arms for row in arm.rows})


def key(row: Row) -> Key:
    return row.length, row.depth, row.repeat


def gather(paths: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Groups of at least two readers, and what a reader should know about the rest."""
    folders = [folder for path in paths for folder in _runs_below(path)]
    notes, by_task = [], {}
    for path in dict.fromkeys(folders):
        folder, record = store.opened(path)
        rows = folder.rows()
        if folder.is_torn():
            notes.append(f"{path}: the last line of rows.jsonl is torn and was left out; the run's own command mends it")
        if len({row.variant for row in rows}) > 1:
            raise NiahError(f"{path}: has several variants; expected one KV dtype and backend a run; run each by itself with -m kv=...")
        identity = record.groups("model", "task", "haystack")
        by_task.setdefault(json.dumps(identity, sort_keys=True), []).append(Arm("", path, record, rows))
    groups = []
    for label, arms in zip(_labels([json.loads(one) for one in by_task]), by_task.values(), strict=True):
        if len(arms) > 1:
            groups.append(Group(label, _checked(arms)))
        else:
            notes.append(f"{arms[0].folder}: left out, no other reader of {label}")
    if not groups:
        readers = ", ".join(sorted({arm.reader for arms in by_task.values() for arm in arms}))
        if len(by_task) > 1:
            raise NiahError(
                f"rag: {len(folders)} runs (reader {readers}) have nothing in common; expected runs of one model, task and haystack "
                "that differ in reader"
            )
        raise NiahError(f"rag: only one reader ({readers}); expected two or more, as python -m niah -m reader=full,bm25")
    return groups, notes


def _runs_below(path: str) -> list[str]:
    """The folder itself where it is a run, else the runs in it."""
    if (Path(path) / "run.json").is_file():
        return [path]
    found = sorted(str(file.parent) for file in Path(path).glob("*/run.json"))
    if not found:
        raise NiahError(f"{path}: no run here; expected a folder with run.json, or a folder of such folders")
    return found


def _labels(identities: list[dict[str, Any]]) -> list[str]:
    """A task's name, and whatever else tells it from another of the same name."""
    flats = [flat(one) for one in identities]
    for one in flats:  # a name says the rest
        for group in ("model", "haystack"):
            if len({other[f"{group}.name"] for other in flats}) == len({json.dumps(other[group], sort_keys=True) for other in identities}):
                for name in [name for name in one if name.startswith(f"{group}.") and name != f"{group}.name"]:
                    del one[name]
    differing = [name for name in flats[0] if name != "task.name" and any(one.get(name) != flats[0][name] for one in flats)]
    labels = []
    for one, identity in zip(flats, identities, strict=True):
        twins = [other for other in flats if other["task.name"] == one["task.name"]]
        told = [
            f"{name.removesuffix('.name').removeprefix('task.')} {one.get(name)}" for name in differing
            if any(other.get(name) != one.get(name) for other in twins)
        ]
        labels.append(", ".join([identity["task"]["name"], *told[:3]]))
    return labels


def _checked(arms: list[Arm]) -> tuple[Arm, ...]:
    """The arms with labels, in order. Raises NiahError where they did not see the same instances."""
    first = arms[0]
    configs = [arm.record.without(_MAY_DIFFER) for arm in arms]
    for arm, config in zip(arms, configs, strict=True):
        old, new = flat(configs[0]), flat(config)
        if other := [f"{k} ({old.get(k)!r} and {new.get(k)!r})" for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]:
            raise NiahError(f"rag: {first.folder} and {arm.folder} differ in {', '.join(other[:4])}; expected runs that differ in reader alone")
    seen: dict[Key, tuple[str, str]] = {}
    shared: dict[Key, int] = {}
    for arm in arms:
        found = arm.answered()
        if not found:
            raise NiahError(f"{arm.folder}: no trial has an answer; expected answers; see its engine.log, then run it again")
        if len(found) != sum(Outcome(row.outcome).is_answer for row in arm.rows):
            raise NiahError(f"{arm.folder}: trials have several rows; expected one row a trial; was rows.jsonl copied together?")
        for place, row in found.items():
            if not row.context_sha256:
                raise NiahError(f"{arm.folder}: rows without context_sha256, of an older niah; expected what names the instance; run it again with name=...")
            sha, folder = seen.setdefault(place, (row.context_sha256, arm.folder))
            if sha != row.context_sha256:
                raise NiahError(
                    f"rag: {folder} and {arm.folder} saw other contexts at {format_length(row.length)}, depth {row.depth:g}%, repeat {row.repeat}; "
                    "expected the same: equal seed, haystack and longest length"
                )
            shared[place] = shared.get(place, 0) + 1
    if max(shared.values()) < 2:
        grids = "; ".join(f"{arm.folder} has {', '.join(map(format_length, sorted({k[0] for k in arm.answered()})))}" for arm in arms[:3])
        raise NiahError(f"rag: no answered trial in common: {grids}; expected lengths, depths and repeats that several readers have")
    return _labelled(arms)


def _labelled(arms: list[Arm]) -> tuple[Arm, ...]:
    names = []
    for arm in arms:
        settings = arm.record.reader_settings
        size = f" {format_length(settings['budget'])}" if settings.get("budget") else f" top {settings['top_k']}" if "top_k" in settings else ""
        names.append(arm.reader + size)
    flats = [flat(arm.record.reader_settings) for arm in arms]
    for number, name in enumerate(list(names)):
        twins = [other for other, one in enumerate(names) if one == name and other != number]
        told = [f"{k} {v}" for k, v in flats[number].items() if any(flats[t].get(k) != v for t in twins)]
        if twins and not told:
            raise NiahError(f"rag: {arms[number].folder} and {arms[twins[0]].folder} have the same reader and settings; expected one run of each")
        flats[number] |= {"": " ".join(told)}
    made = [Arm(f"{name} {one['']}".strip(), arm.folder, arm.record, arm.rows) for name, one, arm in zip(names, flats, arms, strict=True)]
    order = {"full": 0, "oracle": 1, "none": 2}
    budget = [arm.record.reader_settings.get("budget") or 0 for arm in made]
    return tuple(arm for _, _, _, arm in sorted(
        ((order.get(arm.reader, 3), arm.reader, size, arm) for arm, size in zip(made, budget, strict=True)), key=lambda one: one[:3]
    ))
