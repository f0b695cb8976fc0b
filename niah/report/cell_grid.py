"""One grid of cells, lengths across and depths down: what every heatmap is made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.patches import Patch, Rectangle

from niah.report.style import FAINT, GREY, INK, ink
from niah.units import format_length

MAX_LABELLED = 20
"""More lengths than this leave no room for numbers in the cells."""


@dataclass(frozen=True)
class Square:
    """A cell: ``value`` picks its colour (None: hatched), ``is_marked`` frames it, as significant."""

    value: float | None
    text: str = ""
    detail: str = ""
    is_marked: bool = False


def draw(
    axes, shown: Mapping[tuple[int, float], Square], lengths: Sequence[int], depths: Sequence[float], scale, *,
    has_depth: bool = True,
) -> bool:
    """Draws all cells with the colours of ``scale`` (a ScalarMappable). True where one is hatched."""
    hatched = False
    for column, length in enumerate(lengths):
        for line, depth in enumerate(depths):
            cell = shown.get((length, depth), Square(None))
            hatched |= cell.value is None
            _cell(axes, cell, column, line, scale, len(lengths) > MAX_LABELLED)
    axes.set_xlim(-0.5, len(lengths) - 0.5)
    axes.set_ylim(len(depths) - 0.5, -0.5)
    axes.set_xticks(range(len(lengths)), [format_length(length) for length in lengths])
    axes.set_yticks(range(len(depths)), [f"{depth:g}%" for depth in depths] if has_depth else ["whole\ncontext"])
    axes.tick_params(length=0)
    return hatched


def columns_of(panels: int, lengths: Sequence[int]) -> int:
    """How many grids stand side by side: as square as can be, two of a long ladder at most."""
    return min(math.ceil(math.sqrt(panels)) if panels > 3 else panels, 3 if len(lengths) < 8 else 2)


def legend(figure, label: str = "no answer: not run, or the engine failed") -> None:
    """Says what hatching means, below all grids."""
    hatch = Patch(facecolor=GREY, edgecolor=FAINT, hatch="////", label=label)
    figure.legend(handles=[hatch], loc="outside lower left", frameon=False, fontsize=8)


def size(lengths: Sequence[int], depths: Sequence[float], has_depth: bool) -> tuple[float, float]:
    """Inches that the cells of one grid take, width and height."""
    return 0.62 * max(len(lengths), 4), 0.36 * (max(len(depths), 4) if has_depth else 1.2)


def _cell(axes, cell: Square, column: int, line: int, scale, small: bool) -> None:
    box = {"xy": (column - 0.5, line - 0.5), "width": 1, "height": 1, "linewidth": 0.8}
    if cell.value is None:
        axes.add_patch(Rectangle(**box, facecolor=GREY, edgecolor="white", hatch="////"))
        if cell.text and not small:
            axes.text(column, line, cell.text, ha="center", va="center", fontsize=6, color=INK,
                      bbox={"facecolor": GREY, "edgecolor": "none", "pad": 1})
        return
    colour = scale.to_rgba(cell.value)
    axes.add_patch(Rectangle(**box, facecolor=colour, edgecolor="white"))
    if cell.is_marked:
        axes.add_patch(Rectangle((column - 0.46, line - 0.46), 0.92, 0.92, fill=False, edgecolor=ink(colour), linewidth=1.4, zorder=3))
    if small:
        return
    axes.text(column, line - (0.1 if cell.detail else 0), cell.text, ha="center", va="center", fontsize=8.5, color=ink(colour))
    axes.text(column, line + 0.26, cell.detail, ha="center", va="center", fontsize=5.5, color=ink(colour))
