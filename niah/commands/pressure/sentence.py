"""What ``pressure`` says: a table of the conditions, what is named the engine's, what was not tested."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from niah.commands.pressure import verdict
from niah.commands.pressure.conditions import ALONE, Condition
from niah.commands.pressure.orders import Told
from niah.commands.pressure.verdict import Effect, Scale
from niah.records import Row
from niah.report.text_table import aligned

_HEAD = (
    "condition", "prompts", "same answer", "lost", "gained", "weaker", "stronger", "largest", "preempted", "hits",
    "restored", "p",
)
_WIDTHS = (-10, 7, 11, 4, 6, 6, 8, 7, 9, 9, 8, 6)
_SHOWN = 5
"""Trials that are named."""


@dataclass(frozen=True)
class Result:
    """A condition of a variant. ``hits`` of the ``num_tokens`` of its prompts were in the prefix cache, as its rows
    have it. ``why`` it was not tested: then it has no ``effect``."""

    condition: Condition
    told: Told
    hits: int
    num_tokens: int
    folder: Path
    effect: Effect | None = None
    why: str = ""


def lines(
    title: str, scale: Scale, results: Mapping[str, Result], alone: Sequence[Row], num_tests: int, confidence: float
) -> list[str]:
    """All that is printed of one variant. ``alone`` are the reference's rows, ``num_tests`` those of all variants."""
    table = [_HEAD, *(_cells(name, one, alone) for name, one in results.items())]
    said = [*([title] if title else []), *(line.rstrip() for line in aligned(table, _WIDTHS))]
    named = [one for one in results.values() if one.effect and one.effect.is_named(confidence)]
    said += [sentence(one) for one in named]
    said += [
        f"not named, but beyond rounding: {name}, {_worse(one.effect)}; ask again: niah shrink {one.folder} --trial "
        f"{one.effect.worse[0]}"
        for name, one in results.items() if one.effect and one.effect.worse and one not in named
    ]
    tested = [name for name, one in results.items() if one.effect]
    if tested and not named:
        said.append(f"nothing is named, with {confidence:.0%} confidence that nothing would be by chance")
    said += [f"not tested: {one.condition.what} ({name}): {one.why}" for name, one in results.items() if one.why]
    said.append(_rounding(scale))
    num_needed, num = verdict.enough(num_tests, confidence), sum(row.score is not None for row in alone)
    if tested:
        few = f": more than the {num} asked, take pressure.prompts={4 * num_needed}" if num_needed > num else ""
        said.append(
            f"{num_tests} tests: a condition is named from {num_needed} of {num} prompts that are worse on, where none "
            f"is better{few}"
        )
    if any(row.num_cached_tokens for row in alone):
        said.append("the reference found prompts in the prefix cache: this engine cannot be asked without it")
    return said


def sentence(one: Result) -> str:
    """A condition that is named, and the evidence."""
    found = one.effect
    assert found is not None
    evidence = f"p = {found.p:.0e} ({found.adjusted:.0e} among all conditions)"
    if found.num_better > found.num_worse:
        return (
            f"the engine's: better {one.condition.what} than alone ({one.condition.name}): {evidence}; "
            f"{found.num_better} of {found.num} prompts better, {found.num_worse} worse: the reference suffers"
        )
    return (
        f"the engine's: worse {one.condition.what} ({one.condition.name}): {evidence}; {_worse(found)}, "
        f"{found.num_better} better"
    )


def _worse(found: Effect) -> str:
    trials = ", ".join(map(str, found.worse[:_SHOWN])) + (", ..." if len(found.worse) > _SHOWN else "")
    return (
        f"{found.num_worse} of {found.num} prompts worse ({found.lost} right to wrong, {found.weaker} weaker by more "
        f"than {found.tolerance:.2g} nats; trials {trials})"
    )


def _rounding(scale: Scale) -> str:
    """How large rounding is, and what counts as more."""
    parts = []
    if np.isfinite(scale.twice):
        parts.append(f"asked twice alone the right answer's log-probability moves by at most {scale.twice:.2g} nats")
    if np.isfinite(scale.others):
        parts.append(f"among others nine of ten prompts by at most {scale.others:.2g}")
    if not parts:
        return "rounding: not measured, no answer is graded; answers alone are compared"
    return f"rounding: {'; '.join(parts)}; more than {scale.tolerance:.2g} counts as a difference"


def _cells(name: str, one: Result, alone: Sequence[Row]) -> Sequence[str]:
    counted, found = one.told.counters, one.effect
    seen = [
        _count(counted, "num_preemptions"), f"{one.hits / one.num_tokens:.0%}" if one.num_tokens else "-",
        _count(counted, "external_prefix_cache_hits"),
    ]
    if name == ALONE:
        num, right = sum(row.score is not None for row in alone), sum((row.score or 0) >= 1 for row in alone)
        return [name, str(num), f"{right} right", *[""] * 5, *seen, ""]
    if found is None:
        return [name, "", "not tested", *[""] * 5, *seen, ""]
    return [
        name, str(found.num), "-" if found.num_same is None else str(found.num_same), str(found.lost),
        str(found.gained), str(found.weaker), str(found.stronger),
        f"{found.largest:.2g}" if np.isfinite(found.largest) else "-", *seen, f"{found.adjusted:.2g}",
    ]


def _count(counted: Mapping[str, int], name: str) -> str:
    return f"{counted[name]:,}" if name in counted else "-"


def content(scale: Scale, results: Mapping[str, Result], confidence: float) -> dict[str, Any]:
    """The same as numbers."""
    return {
        "rounding": {**asdict(scale), "tolerance": scale.tolerance},
        "conditions": {name: _numbers(one, confidence) for name, one in results.items()},
    }


def _numbers(one: Result, confidence: float) -> dict[str, Any]:
    is_named = bool(one.effect and one.effect.is_named(confidence))
    return {
        "what": one.condition.what, "folder": one.folder.name, "is_tested": one.effect is not None, "why": one.why,
        "is_named": is_named, "sentence": sentence(one) if is_named else "",
        "effect": asdict(one.effect) if one.effect else None, "counters": one.told.counters,
        "at_once": one.told.at_once, "cached_tokens": one.hits, "prompt_tokens": one.num_tokens,
    }
