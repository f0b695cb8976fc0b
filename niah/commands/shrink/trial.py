"""Which trial is made smaller, and what it is held against."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from niah import config, secrets
from niah.commands.crosscheck.second_engine import holding_a_model, second_runs
from niah.commands.shrink.settings import ShrinkSettings
from niah.config import Run
from niah.errors import NiahError
from niah.models import grants
from niah.prompts.recipe import Recipe
from niah.records import Row, RunRecord
from niah.runs import store
from niah.runs.variants import variants

COLD = "cold"
"""What --against calls the same engine without anything in its prefix cache."""


@dataclass(frozen=True)
class Words:
    """What the command says. ``changed`` are settings of the engine for both sides, ``granted`` what of the model's
    files may be trusted."""

    path: str
    trial: int
    against: str
    variant: str
    settings: ShrinkSettings
    changed: dict[str, Any]
    granted: dict[str, Any]


@dataclass(frozen=True)
class Failing:
    """The failing trial: its row, the run as its variant has it, and what it is held against, by name (empty: the
    right answer)."""

    asked: Words
    record: RunRecord
    recipe: Recipe
    row: Row
    run: Run
    second: Run | None
    rows_before: Sequence[Row]
    several: bool

    @property
    def name(self) -> str:
        return f"trial {self.row.trial} of {self.asked.path}"

    @property
    def folder(self) -> Path:
        parts = [str(self.row.trial), *([self.row.variant] if self.several else [])]
        parts += ["against", self.asked.against] if self.asked.against else []
        name = re.sub(r"[^\w.+-]+", "_", "-".join(parts))  # a run.json from elsewhere may call a variant ../..
        return Path(self.asked.path) / "shrink" / name


def chosen(asked: Words) -> Failing:
    """The row to shrink and what it is held against. Raises NiahError where there is none that fails."""
    _, record, rows = store.open_for_reading(asked.path)
    settings = store.settings_of(record)
    grants.check_arguments(settings.get("model") or {})
    if asked.changed:
        settings = {**settings, "engine": {**settings["engine"], **asked.changed}}
    run = config.stored(settings, asked.granted)
    if run.model.thinking_budgets:
        raise NiahError(
            f"{asked.path}: has budgets of thinking, which take two requests a prompt; expected a run without, as "
            "shrink asks each prompt once"
        )
    several = {one.name: one for one in variants(run)}
    only = next(iter(several))
    own = [replace(row, variant=row.variant or only) for row in rows if row.trial == asked.trial]
    where = f"{asked.path}: trial {asked.trial}"
    if not own:
        numbers = sorted(row.trial for row in rows) or [0]
        raise NiahError(f"{where}: no row; expected one of {len(rows)}, from {numbers[0]} to {numbers[-1]}")
    for name in filter(None, (asked.variant, asked.against)):
        if name not in several and not (name == asked.against and name in (COLD, *holding_a_model())):
            known = ", ".join([*several, COLD, *holding_a_model()])
            raise NiahError(f"shrink: got {name!r}; this run has {', '.join(several)}; --against takes {known}")
    if not asked.variant and asked.against in several:
        own = [row for row in own if row.variant != asked.against]
    if asked.variant:
        own = [row for row in own if row.variant == asked.variant]
    answered = [row for row in own if row.score is not None]
    if not answered:
        why = f"{own[0].outcome}: {secrets.masked(own[0].error)}" if own else "no row of that variant"
        raise NiahError(f"{where}: has no answer ({why}); expected one that was answered wrong")
    wrong = [row for row in answered if (row.score or 0) < 1]
    if not wrong and not asked.against:
        names = ", ".join(row.variant for row in answered)
        raise NiahError(f"{where}: was answered right ({names}); expected a wrong one, or --against another variant")
    row = (wrong or answered)[0]
    first = several[row.variant].of(run)
    recipe = Recipe(run)
    place = next(number for number, one in enumerate(rows) if one.trial == row.trial
                 and (one.variant or only) == row.variant)
    before = [one for one in rows[:place] if (one.variant or only) == row.variant and one.score is not None]
    return Failing(
        asked, record, recipe, row, first, _second(asked, record, run, first), before, len(several) > 1
    )


def _second(asked: Words, record: RunRecord, run: Run, first: Run) -> Run | None:
    """The run that answers beside the first; None where the right answer, or the engine itself, does."""
    if asked.against in ("", COLD):
        return None
    known = {one.name: one for one in variants(run)}
    if asked.against in known:
        return known[asked.against].of(run)
    granted = [f"model.{name}={str(value).lower()}" for name, value in asked.granted.items()]
    found = second_runs(record, [f"engine={asked.against}", *granted])
    return found[first.kv.dtype]
