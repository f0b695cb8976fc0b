"""What a run took, beside what the plan said before it began."""

from collections.abc import Mapping
from typing import Any

from niah.records import RunRecord

FIGURES = (
    "start_seconds", "trials_seconds", "control_seconds", "seconds", "memory_gib", "kv_cache_tokens", "dollars",
)
"""What stands in both; ``seconds`` are the three before them together."""


def beside_measured(record: RunRecord, variant: str) -> dict[str, Any]:
    """``planned`` and ``measured`` figures of one variant of a run, None where one is not known.

    Measured: the engine's last start; trials and control sample over all commands; the most of the machine's memory
    that processes held (an engine on GPUs has what it was given there, and says how many tokens its cache holds);
    dollars at the plan's price for the seconds that it took.
    """
    planned = record.expected.get(variant, {})
    facts = record.engines.get(variant, record.engine).facts
    parts = {
        "start_seconds": _seconds(facts.get("start_seconds")),
        "trials_seconds": _over_sessions(record, "trials_seconds", variant),
        "control_seconds": _over_sessions(record, "control_seconds", variant),
    }
    known = [value for value in parts.values() if value is not None]
    total = round(sum(known), 2) if parts["trials_seconds"] is not None else None
    held = [one.memory_gib[variant] for one in record.sessions if variant in one.memory_gib]
    tokens, price = facts.get("kv_cache_size_tokens"), planned.get("dollars_per_gpu_hour")
    dollars = None
    if total is not None and price is not None:
        dollars = round(total * planned.get("num_gpus", 1) * price / 3600, 4)
    measured = {
        **parts, "seconds": total, "memory_gib": None if facts.get("gpu") or not held else max(held),
        "kv_cache_tokens": tokens if isinstance(tokens, int) else None,
        "dollars": dollars,
    }
    return {
        "planned": {name: planned.get(name) for name in (*FIGURES, "available_gib", "num_gpus")},
        "measured": measured,
    }


def _over_sessions(record: RunRecord, name: str, variant: str) -> float | None:
    by_session: list[Mapping[str, float]] = [
        one.trials_seconds if name == "trials_seconds" else one.control_seconds for one in record.sessions
    ]
    found = [one[variant] for one in by_session if variant in one]
    return round(sum(found), 2) if found else None


def _seconds(value: Any) -> float | None:
    return round(float(value), 2) if isinstance(value, int | float) else None
