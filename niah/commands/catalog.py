"""The verb ``choices``: what there is of a group, the user's own too, as a table; ``niah models`` is one of them."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from niah import choices
from niah.commands import fields, meant
from niah.commands.words import RULER_QUICK, own_words
from niah.config import typed
from niah.errors import NiahError
from niah.models.settings import Model
from niah.planner import features
from niah.planner.memory import GIB
from niah.report.text_table import aligned, width
from niah.terminal import say
from niah.units import format_length, parse_length

_QUICK = "niah.commands.ruler.quick"
_COLUMNS: Mapping[str, Sequence[str]] = {
    "model": ("label", "limit", "thinking", "attention", "KV a token", "KV at limit", "path", "licence"),
    "kv": ("dtype", "note"),
    "ctx": ("lengths", "depths", "repeats"),
    "hardware": ("label", "memory_gib", "bf16_tflops", "fp8_tflops", "dollars_per_gpu_hour"), "experiment": ("note",),
}
"""What a line says of a choice; of one that names a class what that is for."""
_WIDEST = 140


def main(words: list[str]) -> int:
    """Exit code of ``choices [GROUP] [format=json]``, or ``format=markdown`` with a group."""
    own, rest = own_words({"format": "text"}, words)
    if own["format"] not in ("text", "json", "markdown"):
        raise NiahError(f"choices format: got {own['format']!r}; expected text, json or markdown")
    _check(rest)
    if own["format"] == "markdown" and not rest:
        raise NiahError(f"choices format=markdown: expected a group before it, one of {', '.join(choices.groups())}")
    found = [one for group in (rest or choices.groups()) for one in of(group)]
    found = [{**one, **_counted(one)} if one["group"] == "model" else one for one in found]
    if own["format"] == "json":
        say(json.dumps(found, indent=1, ensure_ascii=False))
    elif rest:
        say(*(_markdown if own["format"] == "markdown" else _table)(rest[0], found))
    else:
        counted = {group: sum(one["group"] == group for one in found) for group in choices.groups()}
        say(*(f"{group:<12} {num:>3}  python -m niah choices {group}" for group, num in counted.items()))
    return 0


def _check(words: Sequence[str]) -> None:
    """Raises NiahError for words that are not one group."""
    groups = choices.groups()
    for word in words:
        if word in groups:
            continue
        key, separator, value = word.partition("=")
        if separator:
            right = f"did you mean format={value}" if meant.near(key, ["format"]) else (
                "expected choices [GROUP] [format=json]"
            )
        else:
            near = meant.near(word, groups)
            right = f"did you mean {near[0]}" if near else f"expected one of {', '.join(groups)}"
        raise NiahError(f"choices: got {word!r}; {right}")
    if len(words) > 1:
        raise NiahError(f"choices: got several groups, {' and '.join(words)}; expected one, as choices {words[0]}")


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
    """What a file says of itself: the first sentence of the comment that it begins with."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = list(itertools.dropwhile(lambda line: not line.strip("# ") or line.startswith("# @package"), lines))
    comment = itertools.takewhile(lambda line: re.match(r"# ?\S", line), lines)  # up to an indented example
    return fields.sentence_of(" ".join(line.strip("# ") for line in comment))


def _size(name: str) -> int:
    try:
        return parse_length(name, "")
    except NiahError:
        return 0


def _counted(one: Mapping[str, Any]) -> dict[str, Any]:
    """``features`` of a model that the plan knows: what its layers are, and bytes of its KV cache."""
    if not one["settings"].get("architecture"):
        return {}
    # weights may be anywhere: niah's own file says what the layers are
    own = {**one["settings"], "path": "", "repositories": {}, "weights": "bf16"}
    try:
        return {"features": asdict(features.of(typed("model", Model, {"name": one["choice"], **own})[0]))}
    except NiahError:
        return {}


def _of_model(one: Mapping[str, Any]) -> dict[str, str]:
    """The columns of a model that are not its settings as they stand."""
    settings, counted = one["settings"], one.get("features")
    lengths = [settings.get(name) for name in ("max_length", "extended_length")]
    return {
        "limit": ", extended ".join(_length(each) for each in lengths if each and each != "???"),
        "thinking": "on/off" if settings.get("thinking_arguments") else "",
        **({
            "attention": counted["attention"], "KV a token": f"{counted['token_bytes']:,} B",
            "KV at limit": f"{counted['limit_bytes'] / GIB:,.2f} GiB",
        } if counted else {}),
    }


def _length(value: Any) -> str:
    try:
        return format_length(parse_length(value, ""))
    except NiahError:
        return fields.said(value)


def _rows(group: str, found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    columns = _COLUMNS.get(group, ("note",))
    rows = [[group, *columns]]
    for one in found:
        known = {**one["settings"], "note": one.get("trouble") or one["note"]}
        known["note"] += " (your own)" if one.get("is_own") else ""
        known |= _of_model(one) if group == "model" else {}
        rows.append([one["choice"], *(_cell(name, known.get(name, "")) for name in columns)])
    return rows


def _markdown(group: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    head, *rows = _rows(group, found)
    rows = [[f"`{name}`", *(cell.replace("|", "\\|") for cell in rest)] for name, *rest in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _table(group: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = _rows(group, found)
    widths = [-max(width(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = [line.rstrip() for line in aligned(rows, widths)]
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
