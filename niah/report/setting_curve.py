"""Accuracy by a number that a sweep varies: one curve over the number of needles, or of hops; a line a length."""

from collections.abc import Sequence
from pathlib import Path

from niah.report import line_chart, style
from niah.report.panel import Panel
from niah.report.settings import ReportSettings
from niah.stats.cells import CONFIDENCE, by_length
from niah.units import format_length

_MAX_LINES = len(style.LINES)


def draw(
    shown: Sequence[Panel], setting: str, values: Sequence[float], folder: Path, settings: ReportSettings
) -> list[Path]:
    """Writes curve_by_setting.<format>: each panel stands at its one of the ``values`` of the ``setting``, in ascending
    order and one step from the next.

    Nothing where fewer than two values have answers. Of more lengths than there are colours the longest are drawn.
    """
    ordered = sorted(zip(values, shown, strict=True), key=lambda one: one[0])
    cells = [{cell.length: cell for cell in by_length(panel.rows) if cell.n} for _, panel in ordered]
    lengths = sorted({length for own in cells for length in own})[-_MAX_LINES:]
    if sum(map(bool, cells)) < 2:
        return []
    with style.figure_style(settings.font):
        figure, axes = style.subplots(figsize=(2.6 + 0.5 * max(len(values), 6), 3.6))
        for number, length in enumerate(lengths):
            places = [place for place, own in enumerate(cells) if length in own]
            line = [cells[place][length] for place in places]
            x = [place + 0.07 * (number - (len(lengths) - 1) / 2) for place in places]
            colour = style.LINES[number]
            axes.plot(
                x, [cell.mean for cell in line], color=colour, marker=style.MARKS[number % len(style.MARKS)],
                markersize=4.5, linewidth=1.6, label=f"{format_length(length)} tokens",
            )
            line_chart.intervals(axes, x, line, colour, elinewidth=0.8, capsize=2)
        axes.set_xticks(range(len(values)), [f"{value:,g}" for value, _ in ordered])
        axes.set_xlabel(setting)
        line_chart.accuracy_axis(axes, f"accuracy, {CONFIDENCE:.0%} interval")
        records = [panel.record for panel in shown]
        line_chart.heading(axes, records[:1])
        style.made_up(figure, [one.engine_name for one in records])
        return style.save(figure, folder, "curve_by_setting", settings)
