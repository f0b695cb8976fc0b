"""Accuracy by length and effective length as plain text."""

from collections.abc import Sequence

from niah.records import Row, RunRecord
from niah.report.length_note import length_note
from niah.stats import effective_length
from niah.stats.cells import CONFIDENCE, by_length, false_alarms, overall
from niah.stats.routes import shares
from niah.units import format_length


def accuracy_by_length(record: RunRecord, rows: Sequence[Row], threshold: float | None = None) -> str:
    """One line a length: accuracy, its interval, answers, failures, and what misses were; then effective lengths.

    Where nothing is to be found, the rate of false alarms too. Several variants have a table each. ``threshold`` (0 to 1)
    is the user's own for the effective length.
    """
    variants = dict.fromkeys(row.variant for row in rows)
    if len(variants) > 1:
        parts = {name: [row for row in rows if row.variant == name] for name in variants}
        return "\n".join(f"{name}\n{accuracy_by_length(record, part, threshold)}" for name, part in parts.items())
    lines = [f"{'length':>8}  {'accuracy':>8}  {f'{CONFIDENCE:.0%} interval':>14}  {'answers':>7}  outcomes"]
    cells = by_length(rows)
    for cell in [*cells, *([overall(rows)] if len(cells) > 1 else [])]:
        name = format_length(cell.length) if cell.length else "all"
        interval = f"{cell.low:.2f} to {cell.high:.2f}" if cell.n else "-"
        accuracy = f"{cell.mean:.2f}" if cell.n else "-"
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(cell.outcomes.items(), key=lambda kv: -kv[1]))
        lines.append(
            f"{name:>8}  {accuracy:>8}  {interval:>14}  {cell.n:>7}  {outcomes}"
        )
    if record.scorer == "claims_absence" and (alarms := false_alarms(rows)).n:
        lines.append(
            f"false alarms (a value named that is not there): {alarms.mean:.2f} of {alarms.n}, "
            f"{alarms.low:.2f} to {alarms.high:.2f}"
        )
    if (routes := shares(rows, record.scope.answer_tokens)).n:
        lines.append(
            f"route: {routes.answerable:.0%} of {routes.n} answered from retrieved text, {routes.tokens:.0%} of the tokens "
            "that the whole contexts have"
        )
    if told := length_note(rows):
        lines.append(told)
    lines += effective_lengths(rows, threshold)
    return "\n".join(lines)


def effective_lengths(rows: Sequence[Row], threshold: float | None) -> list[str]:
    """One line a definition, where the ladder has at least two lengths; then the area under the curve."""
    found = effective_length.summary(rows, threshold, CONFIDENCE)
    if found is None or len(found.lengths) < 2:
        return []
    lines = [
        f"effective length ({e.name}): {_reached(e.length, found.first, e.is_open)} "
        f"[{_reached(e.low, found.first, False)}, {_reached(e.high, found.first, e.high_is_open)}]"
        for e in found.effective
    ]
    lines.append(f"area under the curve: {found.area:.3f} [{found.area_low:.3f}, {found.area_high:.3f}] over {len(found.lengths)} lengths")
    if found.num_repeats == 1:
        lines.append("1 repeat: all intervals are about this one needle and text; ctx.repeats=6 or more says something about others")
    return lines


def _reached(length: int, first: int, is_open: bool) -> str:
    if not length:
        return f"below {format_length(first)}"
    return f"{'at least ' if is_open else ''}{format_length(length)}"
