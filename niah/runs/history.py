"""What a run folder was asked, command by command: grids and variants that joined it, and the number of each trial.

A folder's identity is what decides an answer, not how many were asked (``identity``): more repeats, lengths, depths, KV
dtypes and speculation of the same settings are more trials of the same run. A trial keeps the number it got first, in
rows that are never written again; those that join are numbered after them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from niah import config, grid
from niah.config import Run
from niah.engines import KVCache
from niah.errors import NiahError
from niah.models.speculation import Speculation
from niah.records import Row, RunRecord, RunSession, Trial
from niah.runs.variants import variants

Cell = tuple[int, float, int]
"""Length, depth and repeat."""


def asked(settings: Run, *, is_chosen: bool = False) -> dict[str, Any]:
    """What one command asks for, as its session in run.json keeps it. ``is_chosen``: of these the trials are chosen as
    answers come."""
    ctx = settings.ctx
    return {
        "lengths": sorted({*ctx.lengths}), "depths": sorted({*ctx.depths}) if settings.task.has_depth else [0.0],
        "repeats": ctx.repeats, "variants": [one.name for one in variants(settings)],
        **({"is_chosen": True} if is_chosen else {}),
    }


def num_planned(grids: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> int:
    """How many trials the grids hold; of those that are chosen as answers come, those that have a row."""
    return len(numbers([one for one in grids if not one.get("is_chosen")]).keys() | {cell(row) for row in rows})


def sessions(stored: RunRecord) -> list[RunSession]:
    """The run's sessions, each with what it asked. Those of earlier versions asked for all that run.json names."""
    ctx = stored.config.get("ctx", {})
    whole = {
        "lengths": sorted({*stored.lengths}), "depths": sorted({*stored.depths}), "repeats": ctx.get("repeats", 1),
        "variants": list(stored.scope.variants),
    }
    return [one if one.asked else replace(one, asked=whole) for one in stored.sessions]


def numbers(grids: Sequence[Mapping[str, Any]]) -> dict[Cell, int]:
    """The number of every trial that one of the grids holds: the first as it stands, the others' after it."""
    found: dict[Cell, int] = {}
    last: object = None
    for one in grids:
        kept = one["lengths"], one["depths"], one["repeats"]
        if kept == last:
            continue
        last = kept
        ladder = grid.Ladder(lengths=list(one["lengths"]), depths=list(one["depths"]), repeats=one["repeats"])
        for trial in grid.trials(ladder):
            found.setdefault(cell(trial), len(found))
    return found


def cell(one: Trial | Row) -> Cell:
    return one.length, one.depth, one.repeat


def grids(stored: RunRecord, where: str) -> list[Mapping[str, Any]]:
    """What each session of the run asked for. Raises NiahError for what no session asks."""
    found = [one.asked for one in sessions(stored)]
    for number, one in enumerate(found):
        if not _is_grid(one):
            raise NiahError(
                f"{where}: sessions[{number}].asked is no grid; expected lengths, depths, repeats and variants, as "
                "niah wrote"
            )
    return found


def _is_grid(one: Mapping[str, Any]) -> bool:
    kinds = {"lengths": int, "depths": int | float, "variants": str}
    for key, kind in kinds.items():
        values = one.get(key)
        if not isinstance(values, list) or not values or not all(isinstance(value, kind) for value in values):
            return False
    repeats = one.get("repeats")
    return isinstance(repeats, int) and repeats > 0


def whole(settings: Run, stored: RunRecord) -> Run:
    """The run with all that its folder was asked so far and is asked now: the first variant stays the first."""
    held = grids(stored, f"run.json of {stored.name}")
    own = settings.ctx
    ladder = replace(
        own,
        lengths=_joined([length for one in held for length in one["lengths"]], own.lengths),
        depths=_joined([depth for one in held for depth in one["depths"]], own.depths)
        if settings.task.has_depth else own.depths,
        repeats=max([own.repeats, *(one["repeats"] for one in held)]),
    )
    before: KVCache = config.typed("kv", KVCache, dict(stored.config.get("kv", {})))[0]
    caches = {one.name: one for one in (*before.each(), *settings.kv.each())}
    first, *others = caches.values()
    kv = KVCache(first.name, first.dtype, [{"name": one.name, "dtype": one.dtype} for one in others])
    drafted: Speculation = config.typed("spec", Speculation, dict(stored.config.get("spec", {})))[0]
    one_drafts, *others_draft = {one.name: one for one in (*drafted.each(), *settings.spec.each())}.values()
    spec = replace(one_drafts, also=[one.plain() for one in others_draft])
    plain = {
        "ctx": {**settings.resolved["ctx"], "lengths": ladder.lengths, "depths": ladder.depths,
                "repeats": ladder.repeats},
        "kv": {"name": kv.name, "dtype": kv.dtype, "also": kv.also},
        "spec": asdict(spec),
    }
    return replace(settings, ctx=ladder, kv=kv, spec=spec, resolved={**settings.resolved, **plain})


def names(settings: Run, grids: Sequence[Mapping[str, Any]]) -> list[str]:
    """The variants of ``whole`` that one of the grids asks for: two that joined a run, one by a KV dtype and one by
    speculation, do not ask for both together."""
    wanted = {name for one in grids for name in one["variants"]}
    return [one.name for one in variants(settings) if one.name in wanted]


def _joined(held: Sequence[Any], own: Sequence[Any]) -> list[Any]:
    """In the order asked for now, where that holds all; else in ascending order."""
    return list(own) if {*own} >= {*held} else sorted({*held, *own})
