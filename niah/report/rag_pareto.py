"""Accuracy against cost, a point a reader and budget; the stairs join those that nothing cheaper beats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from niah.report import rag_curve, style
from niah.report.settings import ReportSettings
from niah.stats.cells import CellStats

AXES = {"tokens": "tokens read for an answer", "seconds": "seconds to the first token, measured here", "dollars": "dollars for 1,000 answers"}


@dataclass(frozen=True)
class Point:
    label: str
    reader: str
    cost: float
    cell: CellStats


def front(points: Sequence[Point]) -> list[Point]:
    """Points, cheapest first, that no cheaper (or equally cheap) one reaches."""
    best, found = -math.inf, []
    for point in sorted(points, key=lambda one: (one.cost, -one.cell.mean)):
        if point.cell.mean > best:
            found.append(point)
            best = point.cell.mean
    return found


def draw(title: str, panels: Sequence[tuple[str, Sequence[Point]]], cost: str, name: str, folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes name.<format>, a panel for each (heading, points); nothing where no cost was measured.

    ``oracle`` knows the answer's place, so it is shown and joins no stairs.
    """
    panels = [(heading, [p for p in points if p.cell.n and not math.isnan(p.cost) and p.cost > 0]) for heading, points in panels]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return []
    names = list(dict.fromkeys((p.label, p.reader) for _, points in panels for p in points))
    look = dict(zip(names, rag_curve.looks(names), strict=True))
    with plt.rc_context({**style.STYLE, "axes.spines.left": True, "axes.spines.bottom": True}):
        figure, grids = plt.subplots(1, len(panels), figsize=(1.9 + 4.0 * len(panels), 3.8), layout="constrained", squeeze=False, sharey=True)
        named: dict[str, object] = {}
        for axes, (heading, points) in zip(grids[0], panels, strict=True):
            _stairs(axes, front([p for p in points if p.reader != "oracle"]), max(p.cost for p in points))
            for point in points:
                colour, _, mark = look[point.label, point.reader]
                cell = point.cell
                named[point.label] = axes.errorbar(
                    [point.cost], [cell.mean], yerr=[[max(0, cell.mean - cell.low)], [max(0, cell.high - cell.mean)]], color=colour,
                    marker=mark, markersize=7, elinewidth=0.9, capsize=2, linestyle="none", clip_on=False,
                )
            axes.set_xscale("log")
            low, high = min(p.cost for p in points), max(p.cost for p in points)
            axes.set_xlim(low / 1.6, max(high * 1.6, low * 4))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_ylim(-0.03, 1.06)
            axes.set_xlabel(AXES[cost])
            axes.set_title(heading, loc="left", fontsize=8.5)
        grids[0][0].set_ylabel("accuracy, 95% interval")
        figure.suptitle(title, x=0.02, ha="left", fontsize=10, fontweight="bold")
        figure.legend(named.values(), named.keys(), loc="outside right center", frameon=False, fontsize=7.5)
        return style.save(figure, folder, name, settings)


def _stairs(axes, found: Sequence[Point], last: float) -> None:
    x, y = [p.cost for p in found], [p.cell.mean for p in found]
    axes.step([*x, last], [*y, y[-1]], where="post", color=style.FAINT, linewidth=1, linestyle="-", zorder=1)
