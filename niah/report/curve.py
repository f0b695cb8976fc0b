"""Accuracy by length: a line a run or variant, its interval as a band, the effective length marked."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt

from niah.report import style
from niah.report.heatmap import Panel
from niah.report.settings import ReportSettings
from niah.stats import effective_length
from niah.stats.cells import CONFIDENCE, by_length
from niah.units import format_length


def draw(shown: Sequence[Panel], folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes curve.<format>; nothing where fewer than two lengths have answers. Panels without answers have no line.

    The mark is the effective length by the user's threshold, or by RULER's where none is set.
    """
    curves = [[cell for cell in by_length(panel.rows) if cell.n] for panel in shown]
    lengths = sorted({cell.length for curve in curves for cell in curve})
    if len(lengths) < 2:
        return []
    threshold = settings.threshold or effective_length.RULER
    drawn = [(number, panel, curve) for number, (panel, curve) in enumerate(zip(shown, curves, strict=True)) if curve]
    records = [panel.record for _, panel, _ in drawn]
    place = {length: number for number, length in enumerate(lengths)}
    with plt.rc_context({**style.STYLE, "axes.spines.left": True, "axes.spines.bottom": True}):
        figure, axes = plt.subplots(figsize=(2.6 + 0.62 * max(len(lengths), 6), 3.6), layout="constrained")
        axes.axhline(threshold, color=style.FAINT, linewidth=0.8, linestyle="--", zorder=0)
        axes.text(len(lengths) - 0.55, threshold, f"{threshold:.3g}", color=style.INK, fontsize=7, va="center", ha="left")
        for number, panel, curve in drawn:
            _line(axes, panel, curve, place, number, len(shown), threshold)
        axes.set_xticks(range(len(lengths)), [format_length(length) for length in lengths])
        axes.set_xlim(-0.4, len(lengths) - 0.6)
        axes.set_ylim(-0.03, 1.06)
        axes.set_xlabel("length (tokens, prompt and answer)")
        axes.set_ylabel(f"accuracy, {CONFIDENCE:.0%} interval")
        models = dict.fromkeys(record.model_title for record in records)
        tasks = dict.fromkeys(record.task for record in records)
        axes.set_title(f"{', '.join(models)}\n", loc="left", fontsize=11, fontweight="bold")
        axes.text(0, 1.03, f"task {', '.join(tasks)}, haystack {records[0].haystack}", transform=axes.transAxes,
                  fontsize=7, color=style.INK)
        axes.legend(frameon=False, fontsize=7.5, loc="lower left")
        return style.save(figure, folder, "curve", settings)


def _line(axes, panel: Panel, curve, place: dict[int, int], number: int, total: int, threshold: float) -> None:
    colour, mark = style.LINES[number % len(style.LINES)], style.MARKS[number % len(style.MARKS)]
    shift = 0.09 * (number - (total - 1) / 2)  # lines that coincide stay apart
    x = [place[cell.length] + shift for cell in curve]
    found = effective_length.summary(panel.rows, threshold, CONFIDENCE)
    own = found.effective[-1]
    reached = f"{'at least ' if own.is_open else ''}{format_length(own.length)}" if own.length else f"below {format_length(found.first)}"
    name = f"{panel.label}: " if panel.label else ""
    axes.plot(x, [cell.mean for cell in curve], color=colour, marker=mark, markersize=4.5, linewidth=1.6,
              label=f"{name}effective length {reached}")
    if total <= 3:  # more bands hide each other
        axes.fill_between(x, [cell.low for cell in curve], [cell.high for cell in curve], color=colour, alpha=0.14, linewidth=0)
    axes.errorbar(x, [cell.mean for cell in curve], yerr=[[max(0, c.mean - c.low) for c in curve], [max(0, c.high - c.mean) for c in curve]],
                  fmt="none", ecolor=colour, elinewidth=0.8, capsize=2)
    if own.length in place:
        at = next(cell.mean for cell in curve if cell.length == own.length)
        axes.plot([place[own.length] + shift], [at], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.4)
