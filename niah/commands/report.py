"""The verb ``report``: tables and figures of finished runs, one or several side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from niah import config as configuration
from niah import terminal
from niah.commands import list as listing
from niah.commands import page
from niah.commands.results import make
from niah.commands.ruler.ruler import tables_of
from niah.commands.words import changes, folder_arguments, own_words
from niah.errors import NiahError
from niah.report import curve, heatmap, labels, number_tables, setting_curve, style
from niah.report.accuracy import accuracy_by_length
from niah.report.cell_grid import MAX_GRIDS, too_many
from niah.report.page.numbers import Shown
from niah.report.panel import Panel
from niah.report.ruler_table import Table
from niah.report.settings import ReportSettings
from niah.runs import scoring, store, sweeps
from niah.runs.ruler import blocks_of
from niah.stats import beside
from niah.terminal import say

_FORMATS = ("text", "json", "csv", "latex")


def main(words: list[str]) -> int:
    """Exit code of ``report DIR [DIR ...] [out=DIR] [format=csv] [table=cells] [report.key=...]``."""
    paths, rest = folder_arguments("report", words)
    say(*report(paths, rest))
    return 0


def report(paths: Sequence[str], words: Sequence[str]) -> list[str]:
    """Lines to print: a table for each run, and the files drawn; with ``format=json``, ``csv`` or ``latex`` the numbers
    alone, and no file.

    One run's figures go into its folder, those of several into ``out=DIR`` or a folder beside the first.
    """
    own, words = own_words({"out": "", "format": "text", "table": ""}, list(words))
    out = own["out"]
    _check(own)
    given, paths = paths, sweeps.runs_below(paths)
    opened = [store.open_for_reading(path, needs_settings=False) for path in paths]
    named = sweeps.labels([record.config for _, record, _ in opened]) if list(given) != paths else []
    number = sweeps.varied([record.config for _, record, _ in opened]) if len(paths) > 1 else None
    value_of = dict(zip(paths, number[1], strict=True)) if number else {}
    if len({*named}) == len(paths):  # a sweep: in the order of what was swept
        ordered = sorted(
            zip(named, paths, opened, strict=True),
            key=lambda one: (value_of.get(one[1], 0), sweeps.natural(one[0])),
        )
        named, paths, opened = map(list, zip(*ordered, strict=True))
    else:
        named = [(Path(path).resolve().name,) for path in paths]
    changed = changes(f"report {paths[0]}", words, ("report",))
    stored = opened[0][1].report_settings
    settings, _ = configuration.typed("report", ReportSettings, {**stored, **changed.get("report", {})})
    engines = [record.engine_name for _, record, _ in opened]
    lines = labels.made_up_lines([*zip(paths, engines, strict=True)])
    shown: list[Shown] = []
    for path, name, (_, record, rows) in zip(paths, named, opened, strict=True):
        if len(paths) > 1:
            label = ", ".join(name)
            lines.append(path if label == Path(path).resolve().name else f"{path} ({label})")
        lines.append(accuracy_by_length(record, rows, settings.threshold))
        if not any(row.is_answered for row in rows):
            terminal.note(f"niah: {path}: no trial has an answer yet; the run's own command goes on")
        if others := beside.sentence(rows):
            lines.append(others)
        note, is_score = scoring.note(record, rows, path)
        if is_score and own["format"] == "text":
            lines.append(note)
        elif note:  # the figures stand; what misses were called is another thing
            terminal.note(f"niah: {path}: {note}")
        shown += page.shown_of(path, ", ".join(name) if len(paths) > 1 else "", record, rows)
    ruler: list[Table] = []
    if any((record.config.get("ruler") or {}).get("setting") for _, record, _ in opened):
        read = [(path, record, rows) for path, (_, record, rows) in zip(paths, opened, strict=True)]
        ruler = tables_of(blocks_of(read))
    if own["format"] != "text":
        content = page.content_of(shown, settings, ruler=ruler)
        return [_as(own["format"], own["table"] or number_tables.TABLES[0], content)]
    folder = make(Path(out) if out else Path(given[0]) if len(given) == 1 else sweeps.together("report", given))
    lines += draw([one.panel for one in shown], folder, settings)
    if number and len(shown) == len(paths) and settings.formats:
        values = [value_of[path] for path in paths]
        files = setting_curve.draw([one.panel for one in shown], number[0], values, folder, settings)
        lines += [f"curve by {number[0]}: {file}" for file in files]
    lines += page.write_page(shown[: page.MAX_SHOWN], folder, settings, ruler=ruler)
    return lines + (listing.write_index(folder) if list(given) != paths and settings.page and not out else [])


def _check(own: Mapping[str, str]) -> None:
    """Raises NiahError for words of the verb's own that are wrong, or would be without effect."""
    for key, known in (("format", _FORMATS), ("table", ("", *number_tables.TABLES))):
        if own[key] not in known:
            raise NiahError(f"report {key}: got {own[key]!r}; expected one of {', '.join(filter(None, known))}")
    if own["table"] and own["format"] not in ("csv", "latex"):
        raise NiahError(f"report table: got {own['table']} without format; expected format=csv or format=latex with it")
    if own["out"] and own["format"] != "text":
        raise NiahError(
            f"report out: got {own['out']} with format={own['format']}, which prints and writes no file; leave one out"
        )


def _as(form: str, table: str, content: dict[str, Any]) -> str:
    if form == "json":
        return json.dumps(content, indent=1)
    rows = number_tables.of(content, table)
    return (number_tables.as_csv(rows) if form == "csv" else number_tables.as_latex(rows)).rstrip("\n")


def draw(shown: Sequence[Panel], folder: Path, settings: ReportSettings) -> list[str]:
    """Heatmap and curve of what is shown; a line for each file written."""
    if not settings.formats:
        return []
    drawn = shown[:MAX_GRIDS]
    lines = [f"heatmap: {file}" for file in heatmap.draw(drawn, folder, settings)]
    lines += [f"curve: {file}" for file in curve.draw(drawn, folder, settings)]
    records = [panel.record for panel in drawn]
    texts = [text for one in records for text in (one.model_title, one.task, one.haystack)]
    unseen = style.undrawn([*texts, *(panel.label for panel in drawn)], settings.font)
    return [*too_many(len(shown), "runs and variants"), *lines, *unseen]
