"""The verb ``report``: tables and figures of finished runs, one or several side by side."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from niah import config as configuration
from niah import disk
from niah.commands.words import changes, folder_arguments
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.report.settings import ReportSettings
from niah.runs import store, sweeps


def main(words: list[str]) -> int:
    """Exit code of ``report DIR [DIR ...] [out=DIR] [report.key=...]``."""
    paths, rest = folder_arguments("report", words)
    print(*report(paths, rest), sep="\n")
    return 0


def report(paths: Sequence[str], words: Sequence[str]) -> list[str]:
    """What to print. One run's figures go into its folder, those of several into ``out=DIR`` or a folder beside the first."""
    from niah.report.accuracy import accuracy_by_length

    out = next((word[4:] for word in words if word.startswith("out=")), "")
    given, paths = paths, sweeps.runs_below(paths)
    opened = [store.open_for_reading(path) for path in paths]
    named = sweeps.labels([record.config for _, record, _ in opened]) if list(given) != paths else []
    if len({*named}) == len(paths):  # a sweep: in the order of what was swept
        ordered = sorted(zip(named, paths, opened, strict=True), key=lambda one: one[0])
        named, paths, opened = map(list, zip(*ordered, strict=True))
    else:
        named = [(Path(path).resolve().name,) for path in paths]
    changed = changes(f"report {paths[0]}", [word for word in words if not word.startswith("out=")], ("report",))
    stored = opened[0][1].report_settings
    settings, _ = configuration.typed("report", ReportSettings, {**stored, **changed.get("report", {})})
    lines, panels = [], []
    for path, name, (_, record, rows) in zip(paths, named, opened, strict=True):
        if len(paths) > 1:
            lines.append(path)
        lines.append(accuracy_by_length(record, rows, settings.threshold))
        panels.append((", ".join(name) if len(paths) > 1 else "", record, rows))
    folder = Path(out) if out else Path(given[0]) if len(given) == 1 else sweeps.together("report", given)
    return lines + draw(panels, make(folder), settings)


def draw(runs: Sequence[tuple[str, RunRecord, Sequence[Row]]], folder: Path, settings: ReportSettings) -> list[str]:
    """Heatmap and curve of (label, record, rows); a line for each file written."""
    from niah.report import curve, heatmap
    from niah.report.panel import panels

    shown = [panel for label, record, rows in runs for panel in panels(record, rows, label)]
    lines = [f"heatmap: {file}" for file in heatmap.draw(shown, folder, settings)]
    return lines + [f"curve: {file}" for file in curve.draw(shown, folder, settings)]


def make(folder: Path) -> Path:
    """The folder, made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NiahError(f"{folder}: cannot be written ({error.strerror}); expected a writable folder; name another one") from error
    return folder


def without_nan(value: Any) -> Any:
    """The same as JSON knows it, which has no NaN: null."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write(file: Path, text: str) -> None:
    """Replaces the file in one step. Raises NiahError where the disk takes no more."""
    try:
        disk.replace(file, text)
    except OSError as error:
        raise NiahError(f"{file}: cannot be written ({error.strerror}); free some space or name another folder (out)") from error
