"""Accuracy against cost, a point a reader and budget; the stairs join those that nothing cheaper beats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from niah.report import rag_curve, style
from niah.report.settings import ReportSettings
from niah.stats.cells import CellStats

AXES = {
    "tokens": "tokens read for an answer", "seconds": "seconds to the first token, measured here",
    "dollars": "dollars for 1,000 answers",
}
"""What ``rag.cost`` calls the axis."""


@dataclass(frozen=True)
class Point:
    """One reader with one budget: what an answer costs (tokens, seconds or dollars; NaN: not measured), and its
    accuracy."""

    label: str
    reader: str
    cost: float
    cell: CellStats

    @property
    def is_measured(self) -> bool:
        """It has a place on a logarithmic axis."""
        return self.cell.n > 0 and self.cost > 0  # NaN is not


def front(points: Sequence[Point]) -> list[Point]:
    """Points, cheapest first, more accurate than every cheaper (or equally cheap) one."""
    best = -math.inf
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.cost, -one.cell.mean)):
        if point.cell.mean > best:
            found.append(point)
            best = point.cell.mean
    return found


def draw(
    title: str, panels: Sequence[tuple[str, Sequence[Point]]], cost: str, engine: str, name: str, folder: Path,
    settings: ReportSettings,
) -> list[Path]:
    """Writes name.<format>, a panel for each (heading, points); nothing where no cost was measured.

    ``oracle`` knows the answer's place, so it is shown and joins no stairs.
    """
    measured = [(heading, [point for point in points if point.is_measured]) for heading, points in panels]
    shown = [panel for panel in measured if panel[1]]
    if not shown:
        return []
    names = list(dict.fromkeys((point.label, point.reader) for _, points in shown for point in points))
    look = dict(zip(names, rag_curve.looks(names), strict=True))
    with style.figure_style(settings.font):
        figure, grids = style.subplots(
            1, len(shown), figsize=(1.9 + 4.0 * len(shown), 3.8), squeeze=False, sharey=True
        )
        marks: dict[str, Line2D] = {}
        for axes, (heading, points) in zip(grids[0], shown, strict=True):
            marks |= _panel(axes, points, look, figure)
            axes.set_xlabel(f"{AXES[cost]} (equal ones side by side)")
            axes.set_title(heading, loc="left", fontsize=8.5)
        grids[0][0].set_ylabel("accuracy, 95% interval")
        style.title(figure, title)
        style.made_up(figure, [engine])
        figure.legend(
            list(marks.values()), list(marks), loc="outside right center", frameon=False, fontsize=7.5
        )
        return style.save(figure, folder, name, settings)


def _panel(
    axes: Axes, points: Sequence[Point], look: Mapping[tuple[str, str], rag_curve.Look], figure: Figure
) -> dict[str, Line2D]:
    """The mark of each label, for the legend."""
    marks = {}
    low, high = min(point.cost for point in points), max(point.cost for point in points)
    _stairs(axes, front([point for point in points if point.reader != "oracle"]), high)
    for point, shift in zip(points, _shifts(points), strict=True):
        colour, _, mark = look[point.label, point.reader]
        moved = axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
        (marks[point.label],) = axes.plot(
            [point.cost], [point.cell.mean], color=colour, marker=mark, markersize=6.5, linestyle="none", clip_on=False,
            transform=moved, zorder=3,
        )
        ends = [point.cell.low, point.cell.high]
        axes.plot([point.cost] * 2, ends, color=colour, linewidth=0.9, transform=moved, zorder=2)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.6, max(high * 1.6, low * 4))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 60 * low else (1,), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(-0.03, 1.06)
    return marks


def _shifts(points: Sequence[Point]) -> list[float]:
    """Points (1/72 inch) by which each is moved sideways, so that those of about the same cost do not hide each
    other."""
    alike: list[list[int]] = []
    for number in sorted(range(len(points)), key=lambda n: points[n].cost):
        if alike and points[number].cost < 1.15 * points[alike[-1][0]].cost:
            alike[-1].append(number)
        else:
            alike.append([number])
    shifts = [0.0] * len(points)
    for group in alike:
        for place, number in enumerate(sorted(group)):
            shifts[number] = 8.0 * (place - (len(group) - 1) / 2)
    return shifts


def _stairs(axes: Axes, found: Sequence[Point], last: float) -> None:
    if not found:
        return
    x, y = [point.cost for point in found], [point.cell.mean for point in found]
    axes.step([*x, last], [*y, y[-1]], where="post", color=style.FAINT, linewidth=1, linestyle="-", zorder=1)
