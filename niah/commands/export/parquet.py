"""Parquet: rows.parquet with every trial of every variant, lengths.parquet with accuracies and intervals."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from niah import disk
from niah.commands.export.parts import Part, plain
from niah.errors import NiahError
from niah.stats.cells import CONFIDENCE


def write(parts: Sequence[Part], folder: Path) -> list[Path]:
    """Both files. Raises NiahError without pyarrow, and where the disk takes no more."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise NiahError("export to=parquet: needs pyarrow, which is not installed; pip install pyarrow") from error
    rows = [
        {"run": part.name, "no_model_was_asked": part.is_fake, **_flat(plain(row))}
        for part in parts for row in part.rows
    ]
    lengths = [
        {
            "run": part.name, "model": part.model_id, **part.facts, "length": one.length or None, "accuracy": one.mean,
            "low": one.low, "high": one.high, "confidence": CONFIDENCE, "n": one.n, "without_answer": one.errors,
        }
        for part in parts for one in (part.overall, *part.lengths)
    ]
    written = []
    for name, content in (("rows", rows), ("lengths", lengths)):
        keys = dict.fromkeys(key for row in content for key in row)
        file = folder / f"{name}.parquet"
        table = arrow.table({key: [row.get(key) for row in content] for key in keys})
        try:
            with disk.replacement(file) as to:
                parquet.write_table(table, to)
        except OSError as error:
            raise NiahError(f"{file}: cannot be written ({error.strerror}); free some space or set out=") from error
        written.append(file)
    return written


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """What is no number or text as JSON; numbers as floats where a row may have either."""
    whole = ("trial", "length", "repeat")
    return {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict)
        else float(value) if isinstance(value, int) and key not in whole else value
        for key, value in row.items()
    }
