"""Accuracy, thinking and truncation by budget of thinking and length, as plain text."""

from collections.abc import Sequence

from niah.records import Row
from niah.report.text_table import aligned
from niah.stats import budgets
from niah.units import format_length


def lines(rows: Sequence[Row]) -> list[str]:
    """A line for each variant and length, lengths together; none where rows have fewer than two budgets."""
    if len({row.thinking_budget for row in rows} - {None}) < 2:
        return []
    found = sorted(budgets.by_length(rows), key=lambda one: one.length)
    table = [
        ["length", "accuracy", "thought", "cut", "truncated", "by budget of thinking"],
        *([format_length(one.length), f"{one.accuracy:.2f}", f"{one.thought:,.0f}", f"{one.cut:.0%}",
           f"{one.truncated:.0%}", one.variant] for one in found),
    ]
    return ["", *aligned(table, [8, 8, 9, 5, 9, 0]), (
        "thought: mean tokens; cut: answers whose thinking was ended at the budget; truncated: those without an end"
    )]
