"""The page of a comparison: of runs with a baseline, and of sweeps run by run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from niah.commands import page
from niah.commands.compare.pairs import Pair, Side
from niah.commands.compare.suites import Suite
from niah.report import suite_verdict
from niah.report.page.numbers import Compared, Extra, Shown
from niah.report.panel import Panel
from niah.report.settings import ReportSettings
from niah.stats.comparison import Comparison, Difference

_COLUMNS = (
    ("pairs", "count"), ("base", "share"), ("other", "share"), ("difference", "points"), ("low", "points"),
    ("high", "points"), ("lost", "count"), ("gained", "count"), ("p", "p"), ("Holm p", "p"),
)


def of_pairs(
    matched: Sequence[Pair], results: Sequence[Comparison], verdicts: Sequence[str], folder: Path,
    look: ReportSettings,
) -> list[str]:
    """The page of all sides, the baseline first, with these verdicts; the lines to print."""
    sides = [matched[0].base, *(pair.other for pair in matched)]
    if too_many := _too_many(len(sides)):
        return too_many
    shown = [_shown(side, side.label) for side in sides]
    compared = [
        Compared(0, number, one, text, pair.notes)
        for number, (pair, one, text) in enumerate(zip(matched, results, verdicts, strict=True), 1)
    ]
    return page.write_page(shown, folder, look, compared)


def of_suites(
    suites: Sequence[tuple[Suite, Comparison, Mapping[str, Comparison]]], sentences: Sequence[str], confidence: float,
    folder: Path, look: ReportSettings,
) -> list[str]:
    """The page of sweeps: each suite with its mean and its settings by name; every setting's two sides compared."""
    shown: dict[tuple[str, str], Shown] = {}
    compared = []
    if too_many := _too_many(sum(2 * len(suite.pairs) for suite, _, _ in suites)):
        return too_many
    for suite, _, settings in suites:
        for name, pair in suite.pairs.items():
            for side, sweep in ((pair.base, suite.base), (pair.other, suite.other)):
                if (side.folder, side.variant) not in shown:
                    shown[side.folder, side.variant] = _shown(side, f"{name}, {sweep}", sweep)
            places = [[*shown].index((side.folder, side.variant)) for side in (pair.base, pair.other)]
            told = suite_verdict.sentence({name: settings[name].overall}, confidence)
            compared.append(Compared(places[0], places[1], settings[name], told, pair.notes))
    tables = [table for suite, mean, settings in suites for table in _tables(suite, mean, settings, confidence)]
    title = f"{', '.join(suite.other for suite, _, _ in suites)} against {suites[0][0].base}"
    return page.write_page([*shown.values()], folder, look, compared, sentences, title, tables=tables)


def _too_many(num: int) -> list[str]:
    return [f"note: no page of {num:,} runs; at most {page.MAX_SHOWN}"] if num > page.MAX_SHOWN else []


def _shown(side: Side, label: str, sweep: str = "") -> Shown:
    rows = [row for row in side.opened.rows() if row.variant == side.variant]
    return page.checked(Shown(Panel(label, side.record, rows), side.folder, side.variant, sweep=sweep))


def _tables(suite: Suite, mean: Comparison, settings: Mapping[str, Comparison], confidence: float) -> list[Extra]:
    title = f"{suite.other} against {suite.base}"
    each = [
        (name, *_values(one.overall), suite_verdict.said(one.overall, confidence)) for name, one in settings.items()
    ]
    by_length = [(d.lengths[0], *_values(d)) for d in mean.lengths]
    return [
        Extra(
            f"{title}, setting by setting", (("setting", "text"), *_COLUMNS, ("verdict", "text")), each, suite.notes
        ),
        Extra(
            f"{title}: mean of {len(settings)} settings, each counted the same", (("length", "length"), *_COLUMNS),
            [*by_length, (None, *_values(mean.overall))], ("The last line is of all lengths together.",),
        ),
    ]


def _values(one: Difference) -> tuple[Any, ...]:
    return (
        one.num_pairs, one.base, one.other, one.difference, one.low, one.high, one.num_lost, one.num_gained, one.p,
        one.adjusted_p,
    )
