"""What figures with lengths along the bottom share: their axes, intervals, and the ring around a length that
matters."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from niah.records import RunRecord
from niah.report import style
from niah.stats.cells import CellStats
from niah.units import format_length


def length_axis(axes: Axes, lengths: Sequence[int], label: str, room: float = 0.4) -> None:
    """Each length of the ladder one step from the next, ``room`` steps before the first and after the last."""
    axes.set_xticks(range(len(lengths)), [format_length(length) for length in lengths])
    axes.set_xlim(-room, len(lengths) - 1 + room)
    axes.set_xlabel(label)


def accuracy_axis(axes: Axes, label: str) -> None:
    """From 0 to 1, with room for marks at both ends."""
    axes.set_ylim(-0.03, 1.06)
    axes.set_ylabel(label)


def heading(axes: Axes, records: Sequence[RunRecord]) -> None:
    """Above the axes: which models, which tasks in which haystack; and which line is which, within them."""
    models = dict.fromkeys(one.model_title for one in records)
    tasks = dict.fromkeys(one.task_title for one in records)
    axes.set_title(f"{', '.join(models)}\n", loc="left", fontsize=11, fontweight="bold")
    subtitle = f"task {', '.join(tasks)}, haystack {records[0].haystack}"
    axes.text(0, 1.03, subtitle, transform=axes.transAxes, fontsize=7, color=style.INK)
    axes.legend(frameon=False, fontsize=7.5, loc="lower left")


def intervals(axes: Axes, x: Sequence[float], cells: Sequence[CellStats], colour: str, **look: Any) -> None:
    """The interval of each accuracy as a bar."""
    below, above = [max(0, cell.mean - cell.low) for cell in cells], [max(0, cell.high - cell.mean) for cell in cells]
    axes.errorbar(x, [cell.mean for cell in cells], yerr=[below, above], fmt="none", ecolor=colour, **look)


def ring(axes: Axes, x: float, y: float, colour: str, **look: Any) -> None:
    axes.plot(
        [x], [y], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.4, **look
    )
