"""What runs, variants and settings are called where several stand side by side."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def of_folders(paths: Sequence[str]) -> list[str]:
    """The name of each run's folder; its path where two folders have the same name."""
    names = [Path(path).resolve().name for path in paths]
    num = Counter(names)
    return [path.rstrip("/") if num[name] > 1 else name for path, name in zip(paths, names, strict=True)]


def of_variant(run: str, variant: str) -> str:
    """A variant of the run labelled ``run``; of the only run, whose label is empty, the variant alone says it."""
    return f"{run}/{variant}" if run else variant


def apart(
    keys: Iterable[str], own: Mapping[str, Any], twins: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Those of ``keys`` whose value in ``own`` is another than in one of its ``twins`` at least."""
    return [key for key in keys if any(twin.get(key) != own.get(key) for twin in twins)]


def made_up_lines(engines: Sequence[tuple[str, str]]) -> list[str]:
    """A line of its own where no model answered one of these (label, engine); which, where it is not all."""
    fake = [label for label, engine in engines if engine == "fake"]
    which = "" if len(fake) == len(engines) else f" ({', '.join(fake)})"
    return [f"engine=fake{which}: no model was asked, these answers are made up"] if fake else []


def made_up(engine: str) -> str:
    """What a title says behind a run that no model answered."""
    return " (engine=fake: no model was asked)" if engine == "fake" else ""
