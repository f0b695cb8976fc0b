"""What figures with lengths along the bottom share: their axes, intervals, and the ring around a length that
matters."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

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


def intervals(axes: Axes, x: Sequence[float], cells: Sequence[CellStats], colour: str, **look: Any) -> None:
    """The interval of each accuracy as a bar."""
    below, above = [max(0, cell.mean - cell.low) for cell in cells], [max(0, cell.high - cell.mean) for cell in cells]
    axes.errorbar(x, [cell.mean for cell in cells], yerr=[below, above], fmt="none", ecolor=colour, **look)


def ring(axes: Axes, x: float, y: float, colour: str, **look: Any) -> None:
    axes.plot(
        [x], [y], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.4, **look
    )
