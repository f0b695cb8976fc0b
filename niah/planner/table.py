"""The plan as lines for people and as one JSON object."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from niah.planner import Plan, estimate
from niah.planner.estimate import SPREAD, Cell, seconds_span
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB
from niah.units import format_length, format_range

_NUMBERS = (("first token", 15), ("tokens/s", 10), ("at once", 7), ("$", 14))
"""Columns of what is estimated, and their widths."""
_LEAST = 0.01
"""Dollars and hours that are told."""


def lines(plan: Plan) -> list[str]:
    """A row a length and KV dtype: fits or not, GiB on one GPU, time and money of a cold prompt; then the sweeps."""
    cells, sweeps = plan.cells, plan.sweeps
    has_gpu = bool(plan.hardware.capability)
    needed = "GiB/GPU" if has_gpu else "GiB"
    shown = [
        f"{'length':>8} {'KV cache':>9} {'fits':>5} {needed:>8} {'weights':>8} {'cache':>8} {'other':>6} "
        f"{_head()}  least hardware"
    ]
    for cell in cells:
        need = cell.need
        other = need.positions + need.activations + need.engine
        least = cell.least or ("-" if cell.is_above_limit else "more than the list has")
        shown.append(
            f"{format_length(cell.length):>8} {cell.cache_dtype:>9} {_fits(cell):>5} "
            f"{need.total / GIB:8.1f} {need.weights / GIB:8.1f} {need.cache / GIB:8.2f} {other / GIB:6.1f} "
            f"{_numbers(cell)}  {least}"
        )
    shown += _notes(cells)
    if not has_gpu:
        shown.append("no GPU: seconds are not estimated; a run shows tokens a second and the time left as it goes")
    for dtype, sweep in sweeps.items():
        longest = max((cell.longest for cell in cells if cell.cache_dtype == dtype), default=0)
        line = f"{dtype}: {f'longest that fits {longest:,} tokens' if longest else 'no length of these fits'}"
        if sweep.num_trials and sweep.seconds:
            price = f"{_dollars(sweep.dollars)}; " if plan.hardware.dollars_per_gpu_hour else ""
            line += (
                f"; to read the prompts of the {sweep.num_trials} trials that fit takes {seconds_span(sweep.seconds)} "
                f"with prefix reuse ({seconds_span(sweep.cold_seconds)} without), {_range(sweep.gpu_hours)} GPU-hours, "
                f"{price}{sweep.num_tokens:,} tokens, {sweep.computed_tokens:,} to compute"
            )
        shown.append(line)
    return shown + [f"{dtype}: refused; {reason}" for dtype, reason in plan.refused.items()]


def side_by_side(plans: Sequence[Plan]) -> list[str]:
    """The same of several machines: a row a length, KV dtype and machine."""
    width = max(len("hardware"), *(len(str(plan.hardware)) for plan in plans))
    shown = [
        f"{'length':>8} {'KV cache':>9}  {'hardware':<{width}} {'fits':>5} {'GiB/GPU':>8} {'of':>6} {_head()}"
    ]
    every = [(cell, plan.hardware) for plan in plans for cell in plan.cells]
    for cell, hardware in sorted(every, key=lambda one: (one[0].length, one[0].cache_dtype)):
        shown.append(
            f"{format_length(cell.length):>8} {cell.cache_dtype:>9}  {hardware!s:<{width}} {_fits(cell):>5} "
            f"{cell.need.total / GIB:8.1f} {cell.available / GIB:6.1f} {_numbers(cell)}"
        )
    refused = [
        f"{plan.hardware}, {dtype}: refused; {reason}" for plan in plans for dtype, reason in plan.refused.items()
    ]
    return [*shown, *_notes([cell for cell, _ in every]), *refused]


def _range(about: float) -> str:
    return format_range(about / SPREAD, about * SPREAD) if about * SPREAD >= _LEAST else f"< {_LEAST}"


def _dollars(about: float) -> str:
    return f"${_range(about)}" if about * SPREAD >= _LEAST else f"under ${_LEAST}"


def _head() -> str:
    return " ".join(f"{name:>{width}}" for name, width in _NUMBERS)


def _fits(cell: Cell) -> str:
    return "yes" if cell.fits else "limit" if cell.is_above_limit else "no"


def _numbers(cell: Cell) -> str:
    """Of a cell that fits; what is not known is a dash."""
    numbers = (
        seconds_span(cell.seconds) if cell.seconds else "-",
        _range(1 / cell.token_seconds) if cell.token_seconds else "-",
        str(cell.at_once) if cell.token_seconds else "-", _range(cell.dollars) if cell.dollars else "-",
    ) if cell.fits else ("-",) * len(_NUMBERS)
    return " ".join(f"{text:>{width}}" for text, (_, width) in zip(numbers, _NUMBERS, strict=True))


def _notes(cells: Sequence[Cell]) -> list[str]:
    """Why a length has no place whatever the machine, and what the estimates stand on."""
    notes = []
    if above := list(dict.fromkeys(format_length(cell.length) for cell in cells if cell.is_above_limit)):
        is_are = "is" if len(above) == 1 else "are"
        notes.append(
            f"limit: {', '.join(above)} {is_are} above what the model reads, {cells[0].limit:,} tokens "
            "(model.max_length): no machine helps; take shorter lengths, another model or a reader that retrieves"
        )
    if any(cell.fits and cell.seconds for cell in cells):
        notes.append(
            f"estimates, each within a factor of {SPREAD:g}: first token, of a cold prompt, at "
            f"{estimate.LINEAR_EFFICIENCY:.0%} of the GPU's peak ({estimate.ATTENTION_EFFICIENCY:.0%} in attention, "
            f"{estimate.LINK_EFFICIENCY:.0%} of its links); tokens/s of one answer alone, by reading weights and cache "
            "from memory; $ of the cold prompt. At once: requests of this length that the KV cache holds"
        )
    return notes


def as_json(model: str, hardware: Hardware, plan: Plan) -> dict[str, Any]:
    """Everything the lines are made of; bytes are those of one GPU, estimates the middle of their range."""
    return {
        "model": model,
        "hardware": asdict(hardware),
        "spread": SPREAD,
        "cells": [
            {**asdict(cell), "fits": cell.fits, "need": {**asdict(cell.need), "total": cell.need.total}}
            for cell in plan.cells
        ],
        "sweeps": {dtype: asdict(sweep) for dtype, sweep in plan.sweeps.items()},
        "refused": plan.refused,
    }
