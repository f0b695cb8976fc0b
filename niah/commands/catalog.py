"""The verb ``choices``: what there is of a group, the user's own too, as a table; ``niah models`` is one of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from niah import choices
from niah.commands import fields, meant
from niah.commands.words import RULER_QUICK, own_words
from niah.errors import NiahError
from niah.terminal import say
from niah.units import format_length, parse_length

_QUICK = "niah.commands.ruler.quick"
_COLUMNS: Mapping[str, Sequence[str]] = {
    "model": ("label", "max_length", "path", "licence"), "kv": ("dtype", "note"),
    "ctx": ("lengths", "depths", "repeats"),
    "hardware": ("label", "memory_gib", "bf16_tflops", "fp8_tflops", "dollars_per_gpu_hour"), "experiment": ("note",),
}
"""What a line says of a choice; of one that names a class what that is for."""
_WIDEST = 140


def main(words: list[str]) -> int:
    """Exit code of ``choices [GROUP] [format=json]``."""
    own, rest = own_words({"format": "text"}, words)
    if own["format"] not in ("text", "json"):
        raise NiahError(f"choices format: got {own['format']!r}; expected text or json")
    if len(rest) > 1 or (rest and rest[0] not in choices.groups()):
        near = meant.near(rest[-1], choices.groups())
        right = f"did you mean {near[0]}" if near else f"expected one of {', '.join(choices.groups())}"
        raise NiahError(f"choices: got {rest[-1]!r}; {right}")
    found = [one for group in (rest or choices.groups()) for one in of(group)]
    if own["format"] == "json":
        say(json.dumps(found, indent=1, ensure_ascii=False))
    elif rest:
        say(*_table(rest[0], found))
    else:
        counted = {group: sum(one["group"] == group for one in found) for group in choices.groups()}
        say(*(f"{group:<12} {num:>3}  python -m niah choices {group}" for group, num in counted.items()))
    return 0


def of(group: str) -> list[dict[str, Any]]:
    """Every choice of a group: its name as a command says it, its file's settings, what its class or its file says that
    it is for, and the file, which is the user's own where ``is_own``.

    A file that is no YAML has ``trouble`` instead of settings. A folder of experiments, which runs each, is one too.
    """
    found = [_of_folder(group, name) for name in (choices.folders_of(group) if group == "experiment" else ())]
    files = {name: choices.file_of(group, name) for name in choices.names_within(group)}
    found += [_of_file(group, name, file) for name, file in files.items() if file]
    if group == "experiment":
        name = RULER_QUICK.partition("=")[2]
        found.append({"group": group, "choice": name, "note": fields.first_sentence(_QUICK), "settings": {}})
    return sorted(found, key=lambda one: (_size(one["choice"]), one["choice"]))


def _of_folder(group: str, name: str) -> dict[str, Any]:
    num = len(meant.files_in(group, name))
    return {"group": group, "choice": name, "note": f"a run of each of the {num} in it", "settings": {}}


def _of_file(group: str, name: str, file: Path) -> dict[str, Any]:
    one: dict[str, Any] = {
        "group": group, "choice": name, "note": "", "settings": {}, "file": str(file),
        "is_own": choices.conf_folder() not in file.parents,
    }
    try:
        settings = choices.content(file)
    except NiahError as error:
        return {**one, "trouble": str(error)}
    target = str(settings.pop("_target_", ""))
    note = fields.first_sentence(target) if target else _comment(file)
    return {**one, "note": note, "settings": settings}


def _comment(file: Path) -> str:
    """What a file says of itself: its first comment of words."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.strip("# ")
        if line and not line.startswith("#"):
            break
    return ""


def _size(name: str) -> int:
    try:
        return parse_length(name, "")
    except NiahError:
        return 0


def _table(group: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = _COLUMNS.get(group, ("note",))
    rows = [[group, *columns]]
    for one in found:
        known = {**one["settings"], "note": one.get("trouble") or one["note"]}
        known["note"] += " (your own)" if one.get("is_own") else ""
        rows.append([one["choice"], *(_cell(name, known.get(name, "")) for name in columns)])
    widths = [max(len(row[number]) for row in rows) for number in range(len(columns) + 1)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, f"python -m niah help {group}=NAME shows the settings of one"]


def _cell(name: str, value: Any) -> str:
    if name == "lengths":
        ends = [format_length(parse_length(one, name)) for one in value]
        return "-".join(dict.fromkeys((ends[0], ends[-1])))
    if name == "depths":
        return str(len(value))
    if value == "???":  # a command says it
        return ""
    text = " ".join(fields.said(value).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
