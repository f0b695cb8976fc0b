"""From sweeps to pairs of their runs: which run of one sweep belongs to which of the other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from niah import config
from niah.commands.compare.pairs import CompareSettings, Pair, Side, gathered, is_copy, pair_of
from niah.errors import NiahError
from niah.report import labels
from niah.runs import store
from niah.runs.ruler import setting_of
from niah.runs.sweeps import runs_below
from niah.tasks.ruler import SETTINGS

_OF_SETTINGS = ("task.", "haystack.", "scorer.", "ctx.", "model.answer_prefix")
"""What RULER's own settings differ in: their name says it."""
_SHOWN = 5
Key = tuple[tuple[str, str], ...]
"""What sets a run of a sweep apart from the others in it: settings with their values, as JSON."""


@dataclass(frozen=True)
class Suite:
    """A sweep against another, paired run by run; ``pairs`` by what each measures."""

    base: str
    other: str
    pairs: Mapping[str, Pair] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def is_ruler(self) -> bool:
        """Every pair is of one of RULER's settings."""
        return all(setting_of(pair.base.record.config) for pair in self.pairs.values())


def are_suites(paths: Sequence[str]) -> bool:
    """Whether these are sweeps that are compared run by run: two folders or more, each of several runs; or one of
    RULER's settings under several variants."""
    if any(store.is_run(Path(path)) for path in paths):
        return False
    below = [runs_below([path]) for path in paths]
    if len(paths) > 1:
        return all(len(runs) > 1 for runs in below)
    configs = [store.opened(run, needs_settings=False)[1].config for run in below[0]]
    settings = [setting_of(one) for one in configs]
    return None not in settings and len(set(settings)) > 1


def suites(paths: Sequence[str], settings: CompareSettings) -> tuple[list[Suite], list[str]]:
    """Every other sweep against the first, or of one sweep every other variant; and notes on their files.

    Raises NiahError where two have no run in common.
    """
    notes: list[str] = []
    if len(paths) == 1:
        found, notes = gathered(runs_below(paths), settings, paths)
        sweeps = _variants(found)
        if len(sweeps) < 2:
            raise NiahError(
                f"compare: {paths[0]} has one run of each setting; expected two sweeps, as compare A B, or one under "
                "several variants, as kv=[bf16,fp8]"
            )
    else:
        sweeps = {}
        for name, path in zip(labels.of_folders(paths), paths, strict=True):
            found, own = gathered(runs_below([path]), settings, [path])
            sweeps[name] = found
            notes += own
    names = list(sweeps)
    return [paired(names[0], name, sweeps[names[0]], sweeps[name], settings) for name in names[1:]], notes


def _variants(found: Sequence[Side]) -> dict[str, list[Side]]:
    """Sides of one sweep by what differs beside RULER's setting, in the order in which they come."""
    varied = [key for key in _varied([found]) if not key.startswith(_OF_SETTINGS)]
    parts: dict[str, list[Side]] = {}
    for side in found:
        parts.setdefault(_named(_key(side, varied)), []).append(side)
    return parts


def paired(name: str, other: str, first: Sequence[Side], second: Sequence[Side], settings: CompareSettings) -> Suite:
    """The sides of one sweep, called ``name``, with those of another of the same settings.

    Raises NiahError where none is of the same settings, or none asked the same prompts.
    """
    is_ruler = all(setting_of(side.record.config) for side in (*first, *second))
    varied = [
        key for key in _varied([first, second]) if not (is_ruler and key.startswith(_OF_SETTINGS))
    ]
    notes: list[str] = []
    sides = [_keyed(part, varied, is_ruler, notes) for part in (first, second)]
    common = [key for key in sides[0] if key in sides[1]]
    if not common:
        raise NiahError(
            f"compare: {name} and {other} hold no run of the same settings ({_listed(sides[0])} against "
            f"{_listed(sides[1])}); expected two sweeps over the same"
        )
    for part, own, where in ((sides[0], sides[1], name), (sides[1], sides[0], other)):
        if lone := [key for key in part if key not in own]:
            notes.append(f"left out, as only {where} has them: {_listed(lone)}")
    pairs: dict[str, Pair] = {}
    unpaired = []
    for key in common:
        pair = _pair(sides[0][key], sides[1][key], settings)
        if pair.is_paired:
            label = _named(key)
            pairs[label if label not in pairs else " ".join(f"{part}={value}" for part, value in key)] = pair
        else:
            unpaired.append(key)
    if not pairs:
        raise NiahError(
            f"compare: {name} and {other} asked different things in every setting ({_listed(unpaired)}); expected "
            "equal seed, haystack, task, lengths and depths, which give equal prompts"
        )
    if unpaired:
        notes.append(f"left out, as the two asked different things: {_listed(unpaired)}")
    notes += [f"{label}: {note}" for label, pair in pairs.items() for note in pair.notes]
    return Suite(name, other, pairs, tuple(notes))


def _pair(base: Side, other: Side, settings: CompareSettings) -> Pair:
    if base.variant == other.variant and is_copy(base.folder, other.folder):
        raise NiahError(
            f"compare: {other.folder} is {base.folder} once more, its rows are the same to the last measured time: "
            "there is no difference to judge; expected two sweeps"
        )
    return pair_of(base, other, settings)


def _varied(sweeps: Sequence[Sequence[Side]]) -> list[str]:
    """Settings that differ within one of the sweeps, ``variant`` for a run's own variants."""
    varied: dict[str, None] = {}
    for sides in sweeps:
        flats = [_settings(side) for side in sides]
        keys = dict.fromkeys(key for one in flats for key in one)
        varied |= dict.fromkeys(key for key in keys if len({_json(one.get(key)) for one in flats}) > 1)
    return list(varied)


def _settings(side: Side) -> dict[str, Any]:
    return {**config.flat(config.deciding(dict(side.record.config))), "variant": side.variant}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _key(side: Side, varied: Sequence[str]) -> Key:
    own = _settings(side)
    return tuple((key, _json(own.get(key))) for key in varied)


def _keyed(sides: Sequence[Side], varied: Sequence[str], is_ruler: bool, notes: list[str]) -> dict[Key, Side]:
    """By key, RULER's setting first; of runs that are alike the one with the most rows, the other noted."""
    found: dict[Key, Side] = {}
    for side in sides:
        key = _key(side, varied)
        if is_ruler and (setting := setting_of(side.record.config)):
            key = (("ruler.setting", _json(setting[0])), *key)
        if (held := found.get(key)) is not None:
            less, more = sorted((held, side), key=lambda one: len(one.columns))
            notes.append(f"{less.folder} measures what {more.folder} does, with fewer trials or as many; left out")
            side = more
        found[key] = side
    return {key: found[key] for key in sorted(found, key=_place)}


def _place(key: Key) -> int:
    """RULER's settings in its own order, other runs in theirs."""
    name = dict(key).get("ruler.setting")
    return SETTINGS.index(json.loads(name)) if name else 0


def _named(key: Key) -> str:
    """What a run is called: values of names, then those of other settings with the setting's name."""
    values = {name: json.loads(value) for name, value in key}
    names = [name for name in values if name.endswith((".name", ".setting", "variant"))]
    groups = {name.partition(".")[0] for name in names}
    rest = [name for name in values if name not in names and name.partition(".")[0] not in groups]
    parts = [*(str(values[name]) for name in names), *(f"{name.split('.', 1)[-1]} {values[name]}" for name in rest)]
    return " ".join(dict.fromkeys(parts)) or "all"


def _listed(keys: Sequence[Key] | Mapping[Key, Side]) -> str:
    names = [_named(key) for key in keys]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
