"""Accuracy by length: a line a run or variant, its interval as a band, the effective length marked."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from niah.report import line_chart, style
from niah.report.accuracy import reached
from niah.report.panel import Panel
from niah.report.settings import ReportSettings
from niah.stats import effective_length
from niah.stats.cells import CONFIDENCE, CellStats, by_length

_MAX_BANDS = 3
"""More bands hide each other."""


def draw(shown: Sequence[Panel], folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes curve.<format>; nothing where fewer than two lengths have answers. Panels without answers have no line.

    The mark is the effective length by the user's threshold, or by RULER's where none is set.
    """
    curves = [[cell for cell in by_length(panel.rows) if cell.n] for panel in shown]
    lengths = sorted({cell.length for curve in curves for cell in curve})
    if len(lengths) < 2:
        return []
    threshold = settings.threshold or effective_length.RULER
    place = {length: number for number, length in enumerate(lengths)}
    drawn = [(number, panel, curve) for number, (panel, curve) in enumerate(zip(shown, curves, strict=True)) if curve]
    with style.figure_style():
        figure, axes = plt.subplots(figsize=(2.6 + 0.62 * max(len(lengths), 6), 3.6), layout="constrained")
        axes.axhline(threshold, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)
        axes.text(
            len(lengths) - 0.55, threshold, f"{threshold:.3g}", color=style.INK, fontsize=7, va="center", ha="left"
        )
        for number, panel, curve in drawn:
            _line(axes, panel, curve, place, number, len(shown), threshold)
        line_chart.length_axis(axes, lengths, "length (tokens, prompt and answer)")
        line_chart.accuracy_axis(axes, f"accuracy, {CONFIDENCE:.0%} interval")
        records = [panel.record for _, panel, _ in drawn]
        models, tasks = dict.fromkeys(one.model_title for one in records), dict.fromkeys(one.task for one in records)
        axes.set_title(f"{', '.join(models)}\n", loc="left", fontsize=11, fontweight="bold")
        subtitle = f"task {', '.join(tasks)}, haystack {records[0].haystack}"
        axes.text(0, 1.03, subtitle, transform=axes.transAxes, fontsize=7, color=style.INK)
        axes.legend(frameon=False, fontsize=7.5, loc="lower left")
        return style.save(figure, folder, "curve", settings)


def _line(
    axes: Axes, panel: Panel, curve: Sequence[CellStats], place: Mapping[int, int], number: int, total: int,
    threshold: float,
) -> None:
    """Line ``number`` of ``total``, whose cells all have answers; ``place`` is where each length stands."""
    colour, mark = style.LINES[number % len(style.LINES)], style.MARKS[number % len(style.MARKS)]
    shift = 0.09 * (number - (total - 1) / 2)  # lines that coincide stay apart
    x, y = [place[cell.length] + shift for cell in curve], [cell.mean for cell in curve]
    summary = effective_length.summary(panel.rows, threshold, CONFIDENCE)
    assert summary is not None, "a curve has answers"
    own = summary.effective[-1]
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
