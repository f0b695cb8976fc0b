"""A sweep's folder is one of run folders: which runs it holds, and what sets each apart from the others."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from niah.config import deciding, flat
from niah.errors import NiahError
from niah.models.speculation import NONE
from niah.runs import store

_NUMBERED = re.compile(r"(\D*)(\d+(?:\.\d+)?)?")
_GROUPS = ("model", "task", "haystack", "reader", "kv", "spec", "engine", "scorer")
_LONGEST_NAME = 120
_OF_RULER = ("model", "ruler", "reader", "kv", "spec", "engine")


def runs_below(paths: Sequence[str]) -> list[str]:
    """Each folder itself where it is a run, else the runs in it that were not named before.

    Raises NiahError where there is none.
    """
    found: list[str] = []
    named: set[str] = set()
    for path in paths:
        if store.is_run(Path(path)):
            found.append(path)
            named.add(path)
            continue
        if not (below := [str(Path(path) / name) for name in store.runs_in(Path(path))]):
            raise NiahError(f"{path}: no run here; expected a folder with run.json, or a folder of such folders")
        found += [run for run in below if run not in named]
        named.update(below)
    return found


def together(verb: str, paths: Sequence[str]) -> Path:
    """Beside the first run: a folder named by the verb and all runs, and by a digest of their places where names alone
    would be those of other runs too."""
    places = [Path(path).resolve() for path in paths]
    name = "-".join([verb, *(place.name for place in places)])
    if len(name) > _LONGEST_NAME or len({place.parent for place in places}) > 1:
        digest = hashlib.sha256("\n".join(map(str, places)).encode()).hexdigest()[:8]
        name = f"{name[: _LONGEST_NAME - 9]}-{digest}"
    return Path(paths[0]).parent / name


def labels(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """What differs between runs, one part a group: its name, or the settings where the name is the same.

    Ordered by these parts, runs of a sweep over two groups stand in lines of the first. All empty where nothing
    differs.
    """
    parts: list[list[str]] = [[] for _ in configs]
    rulers = [str((config.get("ruler") or {}).get("setting") or "") for config in configs]
    has_rulers = len({*rulers}) > 1 and all(rulers)  # their names say which task, haystack and scorer
    for group in _OF_RULER if has_rulers else _GROUPS:
        names = rulers if group == "ruler" else [_name(_group(config, group)) for config in configs]
        if len(set(names)) > 1:
            for part, name in zip(parts, names, strict=True):
                part.append(name)
    flats = [flat(deciding(dict(config))) for config in configs]
    keys = sorted({key for one in flats for key in one})
    for key in keys:  # until no two are alike
        if len({tuple(part) for part in parts}) == len(parts):
            break
        alike: dict[tuple[str, ...], set[str]] = {}
        for part, one in zip(parts, flats, strict=True):
            alike.setdefault(tuple(part), set()).add(json.dumps(one.get(key)))
        if any(len(values) > 1 for values in alike.values()):
            for part, one in zip(parts, flats, strict=True):
                part.append(f"{key.split('.', 1)[-1]} {one.get(key)}")
    return [tuple(part) for part in parts]


def natural(label: Sequence[str]) -> list[list[tuple[str, float]]]:
    """What labels are sorted by: numbers in them by their size, so that seed 2 stands before seed 10."""
    return [[(text, float(digits or 0)) for text, digits in _NUMBERED.findall(part)] for part in label]


def varied(configs: Sequence[Mapping[str, Any]]) -> tuple[str, list[float]] | None:
    """The one setting of a group in which runs differ, as ``task.num_keys``, and its value in each of them; None where
    there is not just one, it is no number, or two have the same.
    """
    flats = [flat(deciding(dict(config))) for config in configs]
    keys = {key for one in flats for key in one}
    differing = [key for key in keys if len({json.dumps(one.get(key)) for one in flats}) > 1]
    if len(differing) != 1 or "." not in differing[0]:
        return None
    found = [one.get(differing[0]) for one in flats]
    values = [value for value in found if isinstance(value, int | float) and not isinstance(value, bool)]
    return (differing[0], values) if len({*values}) == len(configs) else None


def _group(config: Mapping[str, Any], group: str) -> Any:
    """A group of a run's settings; runs of earlier versions have no speculation."""
    return config.get(group) or NONE.plain() if group == "spec" else config[group]


def _name(group: Any) -> str:
    """What a title calls it."""
    if isinstance(group, list):
        return "+".join(map(_name, group))
    return str(group.get("label") or group.get("name"))
