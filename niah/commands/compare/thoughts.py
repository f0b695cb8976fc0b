"""How much two sides thought under their budgets of thinking, beside their accuracy."""

from typing import Any

from niah.commands.compare.pairs import Pair, Side
from niah.report.text_table import aligned
from niah.stats import budgets
from niah.stats.budgets import Budgeted
from niah.units import format_length


def lines(pair: Pair) -> list[str]:
    """A table, a line a length; none where neither side has a budget."""
    found = [_of_side(side) for side in (pair.base, pair.other)]
    if not any(found):
        return []
    lengths = sorted({*found[0], *found[1]})
    rows = [
        ["thought, cut, truncated", pair.base.label, pair.other.label],
        *([format_length(length), *(_cell(one.get(length)) for one in found)] for length in lengths),
    ]
    return aligned(rows, [-23, max(16, len(pair.base.label)), max(16, len(pair.other.label))])


def content(pair: Pair) -> dict[str, Any]:
    """For compare.json: by length what each side thought; nothing where neither has a budget."""
    found = [_of_side(side) for side in (pair.base, pair.other)]
    if not any(found):
        return {}
    return {"thinking": [
        [{"length": one.length, "n": one.n, "thinking_tokens": one.thought, "thinking_cut": one.cut,
          "truncated": one.truncated} for one in side.values()]
        for side in found
    ]}


def _of_side(side: Side) -> dict[int, Budgeted]:
    """By length; rows are read again only where the run has budgets."""
    if not side.record.config.get("model", {}).get("thinking_budgets"):
        return {}
    rows = (row for row in side.opened.rows() if row.variant == side.variant)
    return {one.length: one for one in budgets.by_length(rows)}


def _cell(found: Budgeted | None) -> str:
    return "-" if found is None else f"{found.thought:,.0f}, {found.cut:.0%}, {found.truncated:.0%}"
