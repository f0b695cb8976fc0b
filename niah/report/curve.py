"""Accuracy by length: a line a run or variant, its interval as a band, the effective length marked; many have axes of
their own, with the others behind them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from niah.report import line_chart, style
from niah.report.accuracy import reached
from niah.report.column_width import INCHES
from niah.report.panel import Panel
from niah.report.settings import ReportSettings
from niah.stats import effective_length
from niah.stats.cells import CONFIDENCE, CellStats, by_length
from niah.units import format_length

_MAX_BANDS = 3
"""More bands hide each other."""

_LEAST_INCHES = 1.6
"""Of axes among many in a paper."""


def draw(shown: Sequence[Panel], folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes curve.<format> for each format of the settings; nothing where ``figure`` has nothing to draw."""
    with style.figure_style(settings.font):
        drawn = figure(shown, settings)
        return style.save(drawn, folder, "curve", settings) if drawn else []


def figure(shown: Sequence[Panel], settings: ReportSettings) -> style.Picture | None:
    """None where fewer than two lengths have answers. Panels without answers have no line.

    The mark is the effective length by the user's threshold, or by RULER's where none is set. More lines than there are
    colours to tell them apart are small multiples.
    """
    curves = [[cell for cell in by_length(panel.rows) if cell.n] for panel in shown]
    lengths = sorted({cell.length for curve in curves for cell in curve})
    if len(lengths) < 2:
        return None
    threshold = settings.threshold or effective_length.RULER
    place = {length: number for number, length in enumerate(lengths)}
    drawn = [(number, panel, curve) for number, (panel, curve) in enumerate(zip(shown, curves, strict=True)) if curve]
    if len(drawn) > len(style.LINES):
        return _multiples([(panel, curve) for _, panel, curve in drawn], place, threshold, settings)
    with style.figure_style(settings.font):
        picture, axes = style.subplots(figsize=(2.6 + 0.62 * max(len(lengths), 6), 3.6))
        axes.axhline(threshold, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)
        axes.text(
            len(lengths) - 0.55, threshold, f"{threshold:.3g}", color=style.INK, fontsize=7, va="center", ha="left"
        )
        for number, panel, curve in drawn:
            _line(axes, panel, curve, place, number, len(shown), threshold)
        line_chart.length_axis(axes, lengths, "length (tokens, prompt and answer)")
        line_chart.accuracy_axis(axes, f"accuracy, {CONFIDENCE:.0%} interval")
        records = [panel.record for _, panel, _ in drawn]
        line_chart.heading(axes, records)
        style.made_up(picture, [one.engine_name for one in records])
        return picture


def _multiples(
    drawn: Sequence[tuple[Panel, Sequence[CellStats]]], place: Mapping[int, int], threshold: float,
    settings: ReportSettings,
) -> style.Picture:
    """Each line with its interval on axes of its own, all others faint behind it."""
    columns = min(5, math.ceil(math.sqrt(len(drawn))))
    if settings.width:
        columns = min(columns, int(INCHES[settings.width] / _LEAST_INCHES))
    lines, colour = math.ceil(len(drawn) / columns), style.LINES[0]
    with style.figure_style(settings.font):
        picture, grid = style.subplots(
            lines, columns, squeeze=False, sharex=True, sharey=True,
            figsize=(0.6 + columns * max(2.3, 0.36 * len(place)), 0.9 + 1.75 * lines),
        )
        for axes in grid.flat[len(drawn) :]:
            axes.set_visible(False)
        for axes, (panel, curve) in zip(grid.flat, drawn, strict=False):
            for _, other in drawn:
                behind = [place[cell.length] for cell in other], [cell.mean for cell in other]
                axes.plot(*behind, color="#dddddd", linewidth=0.6)
            axes.axhline(threshold, color=style.FAINT, linewidth=0.7, linestyle="--", zorder=0)
            x = [place[cell.length] for cell in curve]
            axes.plot(x, [cell.mean for cell in curve], color=colour, marker="o", markersize=3, linewidth=1.4)
            line_chart.intervals(axes, x, curve, colour, elinewidth=0.8, capsize=0)
            own = _effective(panel, threshold)
            if own.length in place:
                at = next(cell.mean for cell in curve if cell.length == own.length)
                line_chart.ring(axes, place[own.length], at, colour)
            title = f"{panel.label}\neffective length {reached(own.length, own.first, own.is_open)}"
            axes.set_title(title, loc="left", fontsize=7)
            step = math.ceil(len(place) / 6)
            axes.set_xticks(range(0, len(place), step), [format_length(length) for length in [*place][::step]])
            axes.set_ylim(-0.03, 1.06)
            axes.tick_params(labelsize=7)
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy", fontsize=7)
        models = dict.fromkeys(panel.record.model_title for panel, _ in drawn)
        note = f"{CONFIDENCE:.0%} intervals; dashed: {threshold:.3g}; ring: effective length"
        style.title(picture, f"{', '.join(models)}: accuracy by length\n{note}", size=9)
        style.made_up(picture, [panel.record.engine_name for panel, _ in drawn])
        return picture


def _effective(panel: Panel, threshold: float) -> effective_length.EffectiveLength:
    """By the threshold, of a panel that has answers."""
    summary = effective_length.summary(panel.rows, threshold, CONFIDENCE)
    assert summary is not None, "a curve has answers"
    return summary.effective[-1]


def _line(
    axes: Axes, panel: Panel, curve: Sequence[CellStats], place: Mapping[int, int], number: int, total: int,
    threshold: float,
) -> None:
    """Line ``number`` of ``total``, whose cells all have answers; ``place`` is where each length stands."""
    colour, mark = style.LINES[number % len(style.LINES)], style.MARKS[number % len(style.MARKS)]
    shift = 0.09 * (number - (total - 1) / 2)  # lines that coincide stay apart
    x, y = [place[cell.length] + shift for cell in curve], [cell.mean for cell in curve]
    own = _effective(panel, threshold)
    name = f"{panel.label}: " if panel.label else ""
    label = f"{name}effective length {reached(own.length, own.first, own.is_open)}"
    axes.plot(x, y, color=colour, marker=mark, markersize=4.5, linewidth=1.6, label=style.label(label))
    if total <= _MAX_BANDS:
        low, high = [cell.low for cell in curve], [cell.high for cell in curve]
        axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
    line_chart.intervals(axes, x, curve, colour, elinewidth=0.8, capsize=2)
    if own.length in place:
        at = next(cell.mean for cell in curve if cell.length == own.length)
        line_chart.ring(axes, place[own.length] + shift, at, colour)
