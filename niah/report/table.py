"""Accuracy by length as plain text."""

from collections.abc import Mapping, Sequence
from typing import Any

from niah.records import Row
from niah.stats.cells import CONFIDENCE, by_length, false_alarms
from niah.stats.routes import shares
from niah.units import format_length


def accuracy_by_length(run: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """One line a length: accuracy, its interval, answers, failures, and what misses were.

    Where nothing is to be found, the rate of false alarms too.
    """
    lines = [f"{'length':>8}  {'accuracy':>8}  {f'{CONFIDENCE:.0%} interval':>14}  {'answers':>7}  outcomes"]
    for cell in by_length(rows):
        interval = f"{cell.low:.2f} to {cell.high:.2f}" if cell.n else "-"
        accuracy = f"{cell.mean:.2f}" if cell.n else "-"
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(cell.outcomes.items(), key=lambda kv: -kv[1]))
        lines.append(
            f"{format_length(cell.length):>8}  {accuracy:>8}  {interval:>14}  {cell.n:>7}  {outcomes}"
        )
    if run["config"]["scorer"]["name"] == "claims_absence" and (alarms := false_alarms(rows)).n:
        lines.append(
            f"false alarms (a value named that is not there): {alarms.mean:.2f} of {alarms.n}, "
            f"{alarms.low:.2f} to {alarms.high:.2f}"
        )
    if (routes := shares(rows, run.get("plan", {}).get("answer_tokens", 0))).n:
        lines.append(
            f"route: {routes.answerable:.0%} of {routes.n} answered from retrieved text, {routes.tokens:.0%} of the tokens "
            "that the whole contexts have"
        )
    return "\n".join(lines)
