"""What a budget of thinking did to answers: how much was thought, how often its end was forced, how often they were cut
off all the same."""

from collections.abc import Iterable
from dataclasses import dataclass

from niah.records import Outcome, Row

THOUGHT, CUT, TRUNCATED = "thinking_tokens", "thinking_cut", "truncated"
"""What ``of_row`` counts."""


def of_row(row: Row) -> dict[str, float]:
    """Of an answer of a run with budgets: tokens thought, and 1 or 0 for whether the end of its thinking was forced and
    for whether its own tokens ended it; nothing for other rows."""
    if row.thinking_budget is None or not row.is_answered:
        return {}
    return {
        THOUGHT: float(row.num_thinking_tokens), CUT: float(row.is_thinking_cut),
        TRUNCATED: float(row.outcome == Outcome.TRUNCATED),
    }


@dataclass(frozen=True)
class Budgeted:
    """Means over the ``n`` answers of a variant at a length in tokens; ``accuracy`` and shares are 0 to 1."""

    variant: str
    length: int
    n: int
    accuracy: float
    thought: float
    cut: float
    truncated: float


def by_length(rows: Iterable[Row]) -> list[Budgeted]:
    """Each variant with a budget at each length with answers, variants in the order in which they first appear."""
    parts: dict[str, dict[int, list[Row]]] = {}
    for row in rows:
        if row.thinking_budget is not None and row.is_answered:
            parts.setdefault(row.variant, {}).setdefault(row.length, []).append(row)
    return [
        Budgeted(
            variant, length, len(own), sum(row.score or 0.0 for row in own) / len(own),
            *(sum(of_row(row)[name] for row in own) / len(own) for name in (THOUGHT, CUT, TRUNCATED)),
        )
        for variant, lengths in parts.items() for length, own in sorted(lengths.items())
    ]
