"""The plan as lines for people and as one JSON object."""

from dataclasses import asdict
from typing import Any

from niah.planner import Plan
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB
from niah.units import format_length, format_seconds


def lines(plan: Plan) -> list[str]:
    """A row a length and KV dtype: fits or not, GiB on one GPU, time and money of a cold prompt."""
    cells, sweeps = plan.cells, plan.sweeps
    shown = [
        f"{'length':>8} {'KV cache':>9} {'fits':>5} {'GiB/GPU':>8} {'weights':>8} {'cache':>8} {'other':>6} "
        f"{'PFLOP':>9} {'attention':>9} {'cold prompt':>12} {'$':>8}  least hardware"
    ]
    for cell in cells:
        need, work = cell.need, cell.prefill
        other = need.positions + need.activations + need.engine
        time = format_seconds(cell.seconds) if cell.fits and cell.seconds else "-"
        money = f"{cell.dollars:.2f}" if cell.fits and cell.dollars else "-"
        shown.append(
            f"{format_length(cell.length):>8} {cell.cache_dtype:>9} {'yes' if cell.fits else 'no':>5} "
            f"{need.total / GIB:8.1f} {need.weights / GIB:8.1f} {need.cache / GIB:8.2f} {other / GIB:6.1f} "
            f"{work.total / 1e15:9,.0f} "
            f"{work.attention / work.total:9.0%} {time:>12} {money:>8}  {cell.least or 'more than the list has'}"
        )
    for dtype, sweep in sweeps.items():
        longest = max((cell.longest for cell in cells if cell.cache_dtype == dtype), default=0)
        line = f"{dtype}: longest that fits {longest:,} tokens"
        if sweep.num_trials and sweep.seconds:
            line += (
                f"; the {sweep.num_trials} trials that fit take {format_seconds(sweep.seconds)} with prefix reuse "
                f"({format_seconds(sweep.cold_seconds)} without), {sweep.gpu_hours:.2f} GPU-hours, ${sweep.dollars:.2f}"
                f"; {sweep.num_tokens:,} tokens, {sweep.computed_tokens:,} to compute"
            )
        shown.append(line)
    return shown + [f"{dtype}: refused; {reason}" for dtype, reason in plan.refused.items()]


def as_json(model: str, hardware: Hardware, plan: Plan) -> dict[str, Any]:
    """Everything the lines are made of; bytes are those of one GPU."""
    return {
        "model": model,
        "hardware": asdict(hardware),
        "cells": [
            {**asdict(cell), "fits": cell.fits, "need": {**asdict(cell.need), "total": cell.need.total}}
            for cell in plan.cells
        ],
        "sweeps": {dtype: asdict(sweep) for dtype, sweep in plan.sweeps.items()},
        "refused": plan.refused,
    }
