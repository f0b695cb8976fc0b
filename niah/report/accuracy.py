"""Accuracy by length and effective length as plain text."""

from collections.abc import Sequence

from niah.records import Row, RunRecord
from niah.report import budget_table
from niah.report.length_note import length_note
from niah.report.panel import panels
from niah.report.text_table import aligned
from niah.stats import acceptance, effective_length
from niah.stats.cells import CONFIDENCE, CellStats, by_length, false_alarms, overall
from niah.stats.effective_length import EffectiveLength
from niah.stats.routes import shares
from niah.units import format_length

ACCEPTANCE = "acceptance length"
"""The column of a run that drafts: tokens a step with a draft, and the share of the drafted tokens that was taken."""


def accuracy_by_length(record: RunRecord, rows: Sequence[Row], threshold: float | None = None) -> str:
    """One line a length: accuracy, its interval, answers, failures, and what misses were; then effective lengths.

    Where nothing is to be found, the rate of false alarms too, and of drafts the mean acceptance length. Several
    variants have a table each. ``threshold`` (0 to 1) is the user's own for the effective length.
    """
    parts = panels(record, rows)
    if len(parts) > 1:
        tables = [f"{one.label}\n{accuracy_by_length(record, one.rows, threshold)}" for one in parts]
        return "\n".join([*tables, *budget_table.lines(rows)])
    cells, drafts = by_length(rows), acceptance.by_length(acceptance.of_rows(rows))
    every = acceptance.together(drafts.values())
    head, widths = ["length", "accuracy", f"{CONFIDENCE:.0%} interval", "answers", "outcomes"], [8, 8, 14, 7, 0]
    table = [head, *(_cells(cell) for cell in [*cells, *([overall(rows)] if len(cells) > 1 else [])])]
    if every:
        head.insert(4, ACCEPTANCE)
        widths.insert(4, max(len(ACCEPTANCE), *(len(str(one)) for one in (*drafts.values(), every))))
        for line, found in zip(table[1:], [*(drafts.get(cell.length) for cell in cells), every], strict=False):
            line.insert(4, str(found or "-"))
    lines = aligned(table, widths)
    if record.scorer == "claims_absence" and (alarms := false_alarms(rows)).n:
        lines.append(
            f"false alarms (a value named that is not there): {alarms.mean:.2f} of {alarms.n}, "
            f"{alarms.low:.2f} to {alarms.high:.2f}"
        )
    if (routes := shares(rows, record.scope.answer_tokens)).n:
        lines.append(
            f"route: {routes.answerable:.0%} of {routes.n} answered from retrieved text, {routes.tokens:.0%} of the "
            "tokens that the whole contexts have"
        )
    if note := length_note(rows):
        lines.append(note)
    return "\n".join([*lines, *effective_lengths(rows, threshold)])


def _cells(one: CellStats) -> list[str]:
    """Of one line of the table."""
    outcomes = sorted(one.outcomes.items(), key=lambda item: -item[1])
    return [
        format_length(one.length) if one.length else "all",
        f"{one.mean:.2f}" if one.n else "-",
        f"{one.low:.2f} to {one.high:.2f}" if one.n else "-",
        str(one.n),
        ", ".join(f"{count} {name}" for name, count in outcomes),
    ]


def effective_lengths(rows: Sequence[Row], threshold: float | None) -> list[str]:
    """One line a definition, where the ladder has at least two lengths; then the area under the curve."""
    found = effective_length.summary(rows, threshold, CONFIDENCE)
    if found is None or len(found.lengths) < 2:
        return []
    lines = [f"effective length ({one.name}): {with_interval(one)}" for one in found.effective]
    area = f"{found.area:.3f} [{found.area_low:.3f}, {found.area_high:.3f}]"
    lines.append(f"area under the curve: {area} over {len(found.lengths)} lengths")
    if found.num_repeats == 1:
        lines.append(
            "1 repeat: all intervals are about this one needle and text; ctx.repeats=6 or more says something about "
            "others"
        )
    return lines


def with_interval(one: EffectiveLength) -> str:
    """An effective length and the ends of its interval; why there is none, where that is so."""
    if one.undefined:
        return f"undefined, {one.undefined}"
    low, high = reached(one.low, one.first, False), reached(one.high, one.first, one.high_is_open)
    return f"{reached(one.length, one.first, one.is_open)} [{low}, {high}]"


def reached(length: int, first: int, is_open: bool) -> str:
    """An effective length (0: below the ladder's ``first``); ``is_open`` where the ladder ends before the model
    does."""
    if not length:
        return f"below {format_length(first)}"
    return f"{'at least ' if is_open else ''}{format_length(length)}"
