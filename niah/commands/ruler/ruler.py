"""The verb ``ruler``: RULER's score of a sweep as one table, printed and written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from niah import config
from niah.commands import page
from niah.commands.results import make, without_nan, write
from niah.commands.words import changes, folder_arguments, own_words
from niah.limits import check, limited, one_of
from niah.report import ruler_formats
from niah.report.page.numbers import Shown
from niah.report.panel import Panel
from niah.report.ruler_table import Table, table
from niah.report.settings import ReportSettings
from niah.runs.ruler import Block, blocks
from niah.terminal import say

_FILES = {"text": "ruler.txt", "json": "ruler.json", "csv": "ruler.csv", "latex": "ruler.tex"}


@dataclass(frozen=True)
class RulerSettings:
    """``format`` is what is printed; ``threshold``, points from 0 to 100, adds an effective length of the user's
    own."""

    format: str = one_of(*_FILES)
    threshold: float | None = limited(None, above=0, at_most=100, expected="points from 0 to 100", example="90")

    def __post_init__(self) -> None:
        check(self, "ruler")


def main(words: list[str]) -> int:
    """Exit code of ``ruler DIR [DIR ...] [out=DIR] [ruler.format=text|json|csv|latex] [ruler.threshold=90]``."""
    paths, rest = folder_arguments("ruler", words)
    say(*ruler(paths, rest))
    return 0


def ruler(paths: Sequence[str], words: Sequence[str]) -> list[str]:
    """What to print: the tables in the format asked for; with ``out`` all four formats and the page are written
    there."""
    own, rest = own_words({"out": ""}, list(words))
    changed = changes("ruler", rest, ("ruler", "report"))
    settings: RulerSettings = config.typed("ruler", RulerSettings, changed.get("ruler", {}))[0]
    look: ReportSettings = config.typed("report", ReportSettings, changed.get("report", {}))[0]
    blocks_found = blocks(paths)
    found = tables_of(blocks_found, settings.threshold)
    rendered = {name: _rendered(found, name) for name in _FILES}
    lines = rendered[settings.format].splitlines()
    if own["out"]:
        folder = make(Path(own["out"]))
        for name, file in _FILES.items():
            write(folder / file, rendered[name])
        if settings.format == "text":
            lines.append(f"tables: {', '.join(str(folder / file) for file in _FILES.values())}")
        written = page.write_page(_shown(blocks_found), folder, look, ruler=found)
        lines += written if settings.format == "text" else []
    return lines


def _shown(found: Sequence[Block]) -> list[Shown]:
    """Each setting of each table, as the page shows it."""
    shown = []
    for block in found:
        for name, one in block.members.items():
            label = f"{name}, {block.label}" if len(found) > 1 else name
            variant = one.rows[0].variant if one.rows else ""
            shown.append(page.checked(Shown(Panel(label, one.record, one.rows), one.folder, variant)))
    return shown[: page.MAX_SHOWN]


def tables(paths: Sequence[str], threshold: float | None = None) -> list[Table]:
    """The tables of the runs in these folders as data, one for each model, reader and variant; ``threshold`` in points.

    Raises NiahError where none is one of RULER's settings.
    """
    return tables_of(blocks(paths), threshold)


def tables_of(found: Sequence[Block], threshold: float | None = None) -> list[Table]:
    """One table a block; ``threshold`` in points."""
    level = None if threshold is None else threshold / 100
    return [
        table(_title(block), {name: member.rows for name, member in block.members.items()}, block.notes, level)
        for block in found
    ]


def _title(block: Block) -> str:
    record = next(iter(block.members.values())).record
    parts = [record.model_title, block.label or f"KV cache {record.kv_dtype}"]
    if record.model_title in block.label:
        parts = [block.label]
    if record.engine_name == "fake":
        parts.append("FAKE: answered without a model (engine=fake)")
    return ", ".join(parts)


def _rendered(found: Sequence[Table], form: str) -> str:
    if form == "json":
        return json.dumps(without_nan(ruler_formats.as_json(found)), indent=2, ensure_ascii=False) + "\n"
    if form == "csv":
        return ruler_formats.as_csv(found)
    if form == "latex":
        return ruler_formats.latex(found)
    return "\n\n".join("\n".join(ruler_formats.text(one)) for one in found) + "\n"
