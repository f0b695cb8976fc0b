"""What trackers are told of a run: its settings, how far it is, and what report.json and the figures hold of it."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from niah import config, disk
from niah.commands.export.parts import published
from niah.commands.page import NUMBERS
from niah.commands.track.tracker import Results, Told
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.report import number_tables
from niah.report.page.document import PAGE

_PICTURES = ("heatmap", "curve", "difference", "frontier")
_TABLES = ("lengths", "cells", "differences", "effective_lengths")


def told(folder: Path, record: RunRecord) -> Told:
    """The run in ``folder``. A run that was removed and measured anew has another id."""
    begun = record.sessions[0].started if record.sessions else ""
    digest = sha256(f"{record.fingerprint} {folder.resolve().name} {begun}".encode()).hexdigest()
    facts = {
        "niah": record.environment.niah, "fingerprint": record.fingerprint, "hardware": record.environment.hardware,
        "engine.version": str(record.engine.vllm or record.engine.server or ""),
        "made_up": "engine=fake: no model was asked" if record.engine_name == "fake" else "",
    }
    settings = {key: _plain(value) for key, value in config.flat(published(record.config)).items()}
    return Told(
        folder.resolve().name, digest[:16], folder, {**{key: one for key, one in facts.items() if one}, **settings}
    )


def progress(rows: Sequence[Row]) -> dict[str, float]:
    """Numbers of the rows that are there."""
    answered = [row for row in rows if row.is_answered]
    found: dict[str, float] = {"trials": len(rows), "failures": len(rows) - len(answered)}
    by_variant: dict[str, list[float]] = {}
    for row in answered:
        by_variant.setdefault(row.variant, []).append(row.score or 0.0)
    for variant, scores in by_variant.items():
        found[_within(variant if len(by_variant) > 1 else "", "accuracy")] = sum(scores) / len(scores)
    return found


def results(folder: Path) -> Results:
    """Of a run whose page is written. Raises NiahError where its numbers are not there."""
    file = folder / NUMBERS
    try:
        content = disk.parsed(file.read_bytes())
        runs = content["runs"]
        tables = {
            name: rows for name in _TABLES if len(rows := number_tables.of(content, name)) > 1
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NiahError(
            f"{file}: no numbers to track ({type(error).__name__}); expected what niah report writes; report {folder} "
            "writes it (report.page=true)"
        ) from error
    numbers = {name: value for run in runs for name, value in _numbers(run, is_one=len(runs) == 1).items()}
    pictures = {name: place for name in _PICTURES if (place := folder / f"{name}.png").is_file()}
    page = folder / PAGE
    return Results(
        sum(run["num_rows"] for run in runs), numbers, tables, pictures, page if page.is_file() else None
    )


def _numbers(run: Mapping[str, Any], *, is_one: bool) -> dict[str, float]:
    """Accuracy with its interval, by length too, and effective lengths; under the variant's name where it is one of
    several."""
    found: dict[str, Any] = {"trials": run["num_rows"], "failures": run["num_rows"] - run["num_answers"]}
    overall = run["overall"]
    found |= {"accuracy": overall["accuracy"], "accuracy_low": overall["low"], "accuracy_high": overall["high"]}
    found |= {f"length_{one['length']}/accuracy": one["accuracy"] for one in run["lengths"]}
    found |= {f"effective_length_{one['name'].split(',')[0]}": one["length"] for one in run["effective_lengths"]}
    name = "" if is_one else run["variant"] or run["label"]
    return {
        _within(name, key): float(value) for key, value in found.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _within(variant: str, name: str) -> str:
    """The name of a number as every tracker takes it."""
    return re.sub(r"[^\w.:/ -]", "_", f"{variant}/{name}" if variant else name)


def _plain(value: Any) -> str | int | float | bool:
    if value is None:
        return "null"
    return value if isinstance(value, str | int | float | bool) else json.dumps(value, ensure_ascii=False)
