"""RULER's settings among stored runs: which run is which of the 13, and which of them make one table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from niah import choices
from niah.config import deciding, fields_named, flat
from niah.errors import NiahError
from niah.limits import is_free_text
from niah.records import Row, RunRecord
from niah.report.panel import panels
from niah.runs import scoring, store, sweeps
from niah.tasks.ruler import SETTINGS

_OWN = ("task", "haystack", "scorer", "ctx", "kv", "spec", "ruler")
"""Groups in which the settings of one table differ, or which the variant's name tells."""
_UNNAMED: dict[str, Any] = {"name": ""}
_OWN_TEXT = ("qa", "chain", "aggregate")
"""Tasks whose own settings tell RULER's apart; what haystack they have is not the same in all versions of niah."""


@dataclass(frozen=True)
class Member:
    """One run of one setting, or a variant of it. ``version`` is RULER's, empty where the run is older than the key
    ``ruler``; ``changed`` are settings that its experiment gives otherwise."""

    setting: str
    version: str
    folder: str
    record: RunRecord = field(repr=False)
    rows: Sequence[Row] = field(repr=False)
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """What one table shows: the settings measured on one model, by one reader, under one variant. ``label`` says which
    where there are several; ``notes`` are what to know about the folders."""

    label: str
    members: Mapping[str, Member]
    notes: tuple[str, ...] = ()


def setting_of(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """RULER's name of a run's setting and its version, by the key ``ruler``; for older runs by what the 13 experiments
    set, texts apart, which later versions word anew. None for a run of something else."""
    named = _group(config, "ruler")
    if named.get("setting") in SETTINGS:
        return str(named["setting"]), str(named.get("version") or "")
    for name in SETTINGS:
        given, groups = _experiment(name)
        counted = [one for one in groups if one[0] != "haystack" or dict(groups)["task"] not in _OWN_TEXT]
        known = all(_group(config, group).get("name") == choice for group, choice in counted)
        parts = {group for group, _ in counted} | {"model"}
        if known and not any(
            _differs(config, key, value) for key, value in given if key.partition(".")[0] in parts and not _is_text(key)
        ):
            return name, ""
    return None


def _changed(config: Mapping[str, Any], name: str) -> Iterator[str]:
    """What a run sets otherwise than its setting's experiment."""
    given, groups = _experiment(name)
    for group, choice in groups:
        if (own := _group(config, group).get("name")) != choice:
            yield f"{group} {own}, not {choice}"
    for key, value in given:
        if _differs(config, key, value):
            yield key if _is_text(key) else f"{key} {_value(config, key)}, not {value}"


@cache
def _experiment(name: str) -> tuple[list[tuple[str, Any]], list[tuple[str, str]]]:
    """What an experiment's file sets, by full key, and its choices by group. What it takes from another setting is
    left out."""
    file = choices.file_of("experiment", f"ruler/{name}")
    if file is None:
        raise NiahError(f"conf: has no experiment/ruler/{name}.yaml; expected the one that niah has; install it anew")
    content = choices.content(file)
    groups = [
        (key.removeprefix("override /"), str(choice))
        for one in content.pop("defaults", []) for key, choice in one.items()
    ]
    content.pop("ruler", None)
    return [(key, value) for key, value in flat(content).items() if "${" not in str(value)], groups


def _value(config: Mapping[str, Any], key: str) -> Any:
    group, _, name = key.partition(".")
    return _group(config, group).get(name)


def _differs(config: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether the run has another value; what it does not have yet, being older, is no difference."""
    group, _, name = key.partition(".")
    own = _group(config, group)
    return name in own and own[name] != value


def _group(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A group's settings; empty where run.json has none."""
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


@cache  # each asks all files of a group, for each of thousands of rows or runs
def _is_text(key: str) -> bool:
    return any(is_free_text(one) for one, _ in fields_named(key))


def blocks(paths: Sequence[str]) -> list[Block]:
    """One block for each model, reader and variant among the runs that the folders hold, in the order of the folders.

    Raises NiahError where no run is one of RULER's settings.
    """
    opened = [(path, *store.open_for_reading(path)[1:]) for path in sweeps.runs_below(paths)]
    if found := blocks_of(opened):
        return found
    raise NiahError(
        f"ruler: none of RULER's settings in {', '.join(map(str, paths))} ({len(opened)} other runs); expected runs of "
        "experiment=ruler"
    )


def blocks_of(opened: Sequence[tuple[str, RunRecord, Sequence[Row]]]) -> list[Block]:
    """The same of runs that were read already (folder, record, rows); empty where none is one of RULER's settings."""
    others = [path for path, record, _ in opened if setting_of(record.config) is None]
    groups: dict[str, list[Member]] = {}
    common: dict[str, tuple[dict[str, Any], str, str]] = {}
    for path, record, rows in opened:
        if path in others:
            continue
        for member in _members(path, record, rows):
            shared, variant = _common(record.config), _variant(record, member.rows)
            tokenizer = record.sources.tokenizer_sha256[:8]
            key = json.dumps([flat(deciding(shared)), variant, tokenizer], sort_keys=True)
            groups.setdefault(key, []).append(member)
            common[key] = shared, variant, tokenizer
    labels = _labels(list(common.values()))
    shown = [_block(label, members, others) for label, members in zip(labels, groups.values(), strict=True)]
    return [_with_elsewhere(one, shown) for one in shown]


def _members(path: str, record: RunRecord, rows: Sequence[Row]) -> Iterator[Member]:
    found = setting_of(record.config)
    assert found
    changed = tuple(_changed(record.config, found[0])) if found[1] else ()
    for panel in panels(record, rows):
        yield Member(*found, path, record, panel.rows, changed)


def _common(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings with those made alike in which the settings of one table differ."""
    return {
        **config, **dict.fromkeys(_OWN, _UNNAMED), "model": {**_group(config, "model"), "answer_prefix": True},
    }


def _variant(record: RunRecord, rows: Sequence[Row]) -> str:
    return (rows[0].variant if rows else "") or str(_group(record.config, "kv").get("name", ""))


def _labels(found: Sequence[tuple[dict[str, Any], str, str]]) -> list[str]:
    """What sets each block apart from the others; empty for an only one."""
    parts = [list(one) for one in sweeps.labels([config for config, _, _ in found])]
    for values in ([variant for _, variant, _ in found], [f"tokenizer {name}" for *_, name in found]):
        if len(set(values)) > 1:
            for part, value in zip(parts, values, strict=True):
                part.append(value)
    return [", ".join(part) for part in parts]


def _block(label: str, members: Sequence[Member], others: Sequence[str]) -> Block:
    """Of the runs of one table; of several of one setting the one with the most rows."""
    kept: dict[str, Member] = {}
    twice = []
    for member in members:
        held = kept.get(member.setting)
        if held is not None:
            less = min(held, member, key=lambda one: len(one.rows))
            twice.append(f"{member.setting} is there twice: {less.folder} ({len(less.rows)} trials) is left out")
            if less is not held:
                continue
        kept[member.setting] = member
    ordered = {name: kept[name] for name in SETTINGS if name in kept}
    return Block(label, ordered, tuple([*twice, *_notes(ordered), *_left_out(others)]))


def _left_out(others: Sequence[str]) -> list[str]:
    if not others:
        return []
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return [f"none of RULER's settings, left out: {', '.join(others[:3])}{more}"]


def _notes(members: Mapping[str, Member]) -> Iterator[str]:
    """What a reader of the table should know of the runs: versions, changed settings, what is not finished."""
    versions: dict[str, list[str]] = {}
    for name, member in members.items():
        versions.setdefault(member.version, []).append(name)
    if old := versions.pop("", None):
        yield (
            f"{'all' if len(old) == len(members) else ', '.join(old)} told from their task's settings, as their runs "
            "are older than the key ruler.version; docs/ruler.md says what was different"
        )
    if len(versions) > 1:
        named = "; ".join(f"{version}: {', '.join(names)}" for version, names in versions.items())
        yield f"two versions of RULER in one table ({named})"
    for name, member in members.items():
        if member.changed:
            yield f"{name} is not as RULER has it: {'; '.join(member.changed)}"
        if not member.record.is_of_rows and len(member.rows) < member.record.scope.num_trials:
            yield f"{name}: {len(member.rows)} of {member.record.scope.num_trials} trials are finished"
        note, is_score = scoring.note(member.record, member.rows, member.folder)
        if is_score:
            yield f"{name}: {note}"


def _with_elsewhere(one: Block, shown: Sequence[Block]) -> Block:
    """With where a setting is that is missing here: in another block, for what sets that apart."""
    notes = []
    for other in shown:
        names = [name for name in other.members if name not in one.members]
        if names and other is not one and not {*other.members} & {*one.members}:
            notes.append(f"{', '.join(names)} in a table of their own, being of another {_what(one, other)}")
    return Block(one.label, one.members, (*one.notes, *notes))


def _what(one: Block, other: Block) -> str:
    """What sets two tables of one sweep apart, in a few words."""
    first, second = (next(iter(block.members.values())).record for block in (one, other))
    if first.sources.tokenizer_sha256 != second.sources.tokenizer_sha256:
        return "tokenizer"
    return f"setting ({other.label})" if other.label else "setting"
