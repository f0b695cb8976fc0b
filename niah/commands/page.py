"""report.html and report.json of runs, finished or not: what `run`, `report`, `compare`, `rag`, `ruler` and `calibrate`
write."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from niah import __version__, disk
from niah.commands.compare.pairs import CompareSettings, Pair, Side, measure, pair_of
from niah.commands.compare.sentence import sentence
from niah.commands.results import without_nan, write
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.report.page import document, numbers, trials
from niah.report.page.numbers import Compared, Extra, Shown
from niah.report.panel import Panel, panels
from niah.report.ruler_table import Table
from niah.report.settings import ReportSettings
from niah.runs import checks, columns, control, excerpts
from niah.runs.store import RunFolder

NUMBERS = "report.json"
MAX_BASES = 12
"""Of more runs that were asked the same each is compared with the first alone: all against all takes their square."""
MAX_SHOWN = 200
"""Runs and variants on a page: a browser draws one at a time, but each has its numbers there."""
_MEASURED = ("rows.jsonl", "run.json", "controls.jsonl", checks.CALIBRATION, checks.CROSSCHECK)
_PICTURES = ("heatmap.svg", "curve.svg", "difference.svg")


def shown_of(path: str, label: str, record: RunRecord, rows: Sequence[Row]) -> list[Shown]:
    """A run's variants, with what its folder says beside the rows."""
    controls: list[dict[str, Any]] = []
    trouble = ""
    try:
        controls = RunFolder(Path(path)).controls()
    except NiahError as error:  # the rows stand, and the page says that the control sample does not
        trouble = f"control without prefix cache: cannot be read ({error})"
    first, *others = (_shown(panel, path, controls, trouble) for panel in panels(record, rows, label))
    begun = {row.variant for row in rows}
    not_begun = tuple(name for name in record.scope.variants if name not in begun) if begun - {""} else ()
    return [dataclasses.replace(first, not_begun=not_begun), *others]


def _shown(panel: Panel, path: str, controls: Sequence[dict[str, Any]], trouble: str) -> Shown:
    variant = panel.rows[0].variant if panel.rows else ""
    own = [one for one in controls if one.get("variant", "") == variant]
    return checked(Shown(panel, path, variant, trouble or control.sentence(own)))


def checked(one: Shown) -> Shown:
    """The same with what calibrate and crosscheck left in its folder."""
    found = checks.calibration(Path(one.folder), one.variant)
    return dataclasses.replace(
        one, calibrated=found.verdict, calibration=found.sentences,
        crosscheck=checks.crosscheck(Path(one.folder), one.variant),
    )


def write_page(
    shown: Sequence[Shown], folder: Path, settings: ReportSettings, compared: Sequence[Compared] | None = None,
    sentences: Sequence[str] = (), title: str = "", ruler: Sequence[Table] = (), tables: Sequence[Extra] = (),
) -> list[str]:
    """Writes report.html and report.json into ``folder``; the lines to print. ``compared`` None compares all that
    share prompts."""
    if not settings.page:
        return []
    content = content_of(shown, settings, compared, sentences, title, ruler, tables)
    found: dict[str, str] = {}
    for path in dict.fromkeys(one.folder for one in shown):
        found |= excerpts.read(Path(path))
    pictures = {name: text for name in _PICTURES if (text := _text_of(folder / name))}
    page = folder / document.PAGE
    write(folder / NUMBERS, json.dumps(content, indent=1) + "\n")
    try:
        with disk.replacement(page) as file:
            for part in document.parts(content, trials.blocks(shown, found), pictures):
                file.write(part.encode())
    except OSError as error:
        raise NiahError(
            f"{page}: cannot be written ({error.strerror}); free some space or name another folder (out)"
        ) from error
    return [f"page: {page}"]


def content_of(
    shown: Sequence[Shown], settings: ReportSettings, compared: Sequence[Compared] | None = None,
    sentences: Sequence[str] = (), title: str = "", ruler: Sequence[Table] = (), tables: Sequence[Extra] = (),
) -> dict[str, Any]:
    """What report.json holds."""
    compared = compare(shown) if compared is None else compared
    said = sentences or [one.sentence for one in compared if one.base == 0]
    look = dataclasses.asdict(settings)
    content: dict[str, Any] = without_nan(
        numbers.content(shown, compared, settings.threshold, said, title, look, ruler, tables)
    )
    return content


def is_current(folder: Path, settings: ReportSettings) -> bool:
    """Whether a run's figures and page are of its rows as they are, and look as the settings want them."""
    heatmaps, curves = ([folder / f"{name}.{kind}" for kind in settings.formats] for name in ("heatmap", "curve"))
    try:
        last = max((folder / name).stat().st_mtime_ns for name in _MEASURED if (folder / name).exists())
        content = json.loads(_text_of(folder / NUMBERS))
        written = [*heatmaps, *(file for file in curves if file.exists())]  # one length has no curve
        newest = min(file.stat().st_mtime_ns for file in (folder / document.PAGE, folder / NUMBERS, *written))
    except (OSError, ValueError):
        return False
    return newest > last and isinstance(content, dict) and (content.get("niah"), content.get("report")) == (
        __version__, dataclasses.asdict(settings)
    )


def _text_of(file: Path) -> str:
    """Empty where there is none, or what is there is no text."""
    with suppress(OSError, UnicodeDecodeError):
        if file.is_file():  # a pipe would be waited for, a device read for ever
            return file.read_text(encoding="utf-8")
    return ""


def compare(shown: Sequence[Shown]) -> list[Compared]:
    """Each run against each other as its baseline, where both were asked the same prompts. Of many runs those are tried
    that were asked the same first prompt, and where they are many, against their first alone."""
    if len(shown) < 2:
        return []
    sides = {number: side for number, one in enumerate(shown) if (side := _side(one)) is not None}
    kin: dict[str, dict[int, Side]] = {}
    for number, side in sides.items():
        kin.setdefault(_kin(side) if len(sides) > MAX_BASES else "", {})[number] = side
    return [
        one for own in kin.values()
        for base in list(own)[: len(own) if len(own) <= MAX_BASES else 1] for one in _against(base, own)
    ]


def _kin(side: Side) -> str:
    """What sides have in common that were asked the same: their first trial's prompt."""
    return str(side.columns.prompt_sha256[side.columns.trial.argmin()])


def _side(one: Shown) -> Side | None:
    """None where no trial has an answer."""
    found = columns.of_rows(one.rows)
    if not found.answered.any():
        return None
    return Side(one.panel.label, one.folder, one.variant, one.panel.record, found, RunFolder(Path(one.folder)))


def _against(base: int, sides: Mapping[int, Side]) -> list[Compared]:
    """All that can be paired with one baseline, Holm's adjustment over them."""
    first, settings, matched = sides[base], CompareSettings(), dict[int, Pair]()
    for number, other in sides.items():
        if number == base:
            continue
        with suppress(NiahError):
            found = pair_of(first, other, settings)
            if found.is_paired:
                matched[number] = found
    if not matched:
        return []
    results = measure(list(matched.values()), settings)
    return [
        Compared(base, number, found, sentence(matched[number], found, settings), matched[number].notes)
        for number, found in zip(matched, results, strict=True)
    ]
