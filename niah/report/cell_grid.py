"""Grids of cells, lengths across and depths down, side by side over one scale of colours: what a heatmap is made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from niah.report.column_width import INCHES
from niah.report.style import FAINT, GREY, INK, Picture, ink, subplots
from niah.units import format_length

MAX_LABELLED = 20
"""More lengths than this leave no room for numbers in the cells."""
_MAX_LARGE = 6
"""More grids than this are small multiples."""
_PAGE_INCHES, _LABEL_INCHES = 15.0, 0.4
_LEAST_CELL_INCHES = 0.24
"""Of a cell whose number can be read in a paper."""
MAX_GRIDS = 24
"""More grids than this find no place in a figure, and each takes a tenth of a second and more."""


@dataclass(frozen=True)
class Square:
    """One cell as it is drawn: ``value`` picks its colour (None: hatched), ``is_marked`` frames it, as significant."""

    value: float | None
    text: str = ""
    detail: str = ""
    is_marked: bool = False


Squares = Mapping[tuple[int, float], Square]
"""Those of one grid, by length and depth; one that is missing is hatched."""


@dataclass(frozen=True)
class Margins:
    """Inches around the grids: ``width`` and ``height`` of the whole figure beside them, ``line`` for each line of
    grids."""

    width: float
    height: float
    line: float


@dataclass(frozen=True)
class _Cell:
    """Inches of a cell, and points of its value and of what stands below it; 0: no such text."""

    width: float
    height: float
    text_size: float = 0.0
    detail_size: float = 0.0


@dataclass(frozen=True)
class Grids:
    """A figure of grids, drawn but for its titles: ``bottom`` is the grid that names the axes for all."""

    figure: Picture
    first: Axes
    bottom: Axes
    bar: Colorbar
    has_hatching: bool


def too_many(num: int, what: str) -> list[str]:
    """A line to print where a figure leaves some of ``num`` grids out."""
    return [f"note: the figure shows the first {MAX_GRIDS} of {num:,} {what}"] if num > MAX_GRIDS else []


def draw(
    panels: Sequence[Squares], lengths: Sequence[int], depths: Sequence[float], scale: ScalarMappable,
    margins: Margins, *, has_depth: Sequence[bool], titles: Sequence[str] = (), title_size: float = 8.5,
    page: str | None = None,
) -> Grids:
    """A grid for each panel, all with the same lengths, depths and colours, and the bar that explains the colours;
    ``page`` is the width of a paper's column that they are for. A panel without depth, of a task that asks about the
    whole context, has a cell a length, as high as the depths of the others."""
    cell = _cell(len(panels), len(lengths))
    width, height = cell.width * max(len(lengths), 4), cell.height * (max(len(depths), 4) if any(has_depth) else 1.2)
    columns = _columns(len(panels), width)
    if page:
        columns = max(1, min(columns, int(INCHES[page] / (_LEAST_CELL_INCHES * len(lengths) + _LABEL_INCHES))))
    lines = math.ceil(len(panels) / columns)
    figure, grids = subplots(
        lines, columns, squeeze=False,
        figsize=(margins.width + columns * (width + 0.9), margins.height + lines * (height + margins.line)),
    )
    for axes in grids.flat[len(panels) :]:
        axes.set_visible(False)
    has_hatching = False
    for number, (axes, squares) in enumerate(zip(grids.flat, panels, strict=False)):
        spread = 1 if has_depth[number] or not any(has_depth) else 1 / len(depths)
        has_hatching |= _grid(axes, squares, lengths, depths if has_depth[number] else (), scale, cell, spread)
        if titles:
            axes.set_title(titles[number], loc="left", fontsize=title_size)
    bottom = grids[-1][0]
    bottom.set_ylabel("depth of the needle (0% = start)" if any(has_depth) else "")
    bar = figure.colorbar(scale, ax=grids, shrink=0.8 / lines**0.5, aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    return Grids(figure, grids[0][0], bottom, bar, has_hatching)


def legend(figure: Figure, label: str) -> None:
    """Says below all grids what hatching means."""
    hatch = Patch(facecolor=GREY, edgecolor=FAINT, hatch="////", label=label)
    figure.legend(handles=[hatch], loc="outside lower left", frameon=False, fontsize=8)


def _cell(num_panels: int, num_lengths: int) -> _Cell:
    """Small multiples have small cells with their value alone, a long ladder ones without text."""
    if num_lengths > MAX_LABELLED:
        return _Cell(0.27, 0.24)
    return _Cell(0.62, 0.36, 8.5, 5.5) if num_panels <= _MAX_LARGE else _Cell(0.4, 0.23, 6.5)


def _columns(num_panels: int, width: float) -> int:
    """How many grids of so many inches stand side by side: as square as can be within a page's width."""
    square = math.ceil(math.sqrt(num_panels)) if num_panels > 3 else num_panels
    return max(1, min(square, int(_PAGE_INCHES / (width + 0.9))))


def _grid(
    axes: Axes, squares: Squares, lengths: Sequence[int], depths: Sequence[float], scale: ScalarMappable, cell: _Cell,
    spread: float,
) -> bool:
    """Draws one grid, of one line where there are no depths; ``spread`` is a cell's usual height in its own. True where
    a cell is hatched."""
    has_hatching = False
    whole = {length: square for (length, _), square in squares.items()}
    for column, length in enumerate(lengths):
        for line, depth in enumerate(depths or (None,)):
            square = whole.get(length) if depth is None else squares.get((length, depth))
            square = square or Square(None)
            has_hatching |= square.value is None
            _square(axes, square, column, line, scale, cell, spread)
    axes.set_xlim(-0.5, len(lengths) - 0.5)
    axes.set_ylim(max(1, len(depths)) - 0.5, -0.5)
    step = math.ceil(_LABEL_INCHES / cell.width)  # names of lengths do not run into each other
    axes.set_xticks(range(0, len(lengths), step), [format_length(length) for length in lengths[::step]])
    names = [f"{depth:g}%" for depth in depths] or ["whole\ncontext"]
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=9 if cell.detail_size else 7)
    return has_hatching


def _square(
    axes: Axes, square: Square, column: int, line: int, scale: ScalarMappable, cell: _Cell, spread: float
) -> None:
    centre: dict[str, Any] = {"ha": "center", "va": "center"}
    box: dict[str, Any] = {"xy": (column - 0.5, line - 0.5), "width": 1, "height": 1, "linewidth": 0.8}
    if square.value is None:
        axes.add_patch(Rectangle(**box, facecolor=GREY, edgecolor="white", hatch="////"))
        if square.text and cell.detail_size:
            ground = {"facecolor": GREY, "edgecolor": "none", "pad": 1}
            axes.text(column, line, square.text, **centre, fontsize=6, color=INK, bbox=ground)
        return
    red, green, blue, alpha = map(float, scale.to_rgba(np.asarray(square.value)))
    colour = red, green, blue, alpha
    own_ink = ink(colour)
    axes.add_patch(Rectangle(**box, facecolor=colour, edgecolor="white"))
    if square.is_marked:
        frame: dict[str, Any] = {"xy": (column - 0.46, line - 0.46), "width": 0.92, "height": 0.92, "linewidth": 1.4}
        axes.add_patch(Rectangle(**frame, fill=False, edgecolor=own_ink, zorder=3))
    inside: dict[str, Any] = {**centre, "color": own_ink, "in_layout": False}
    if cell.text_size:  # numbers lie within their cell: measuring them for the layout takes as long as drawing them
        up = 0.1 * spread if square.detail and cell.detail_size else 0
        axes.text(column, line - up, square.text, **inside, fontsize=cell.text_size)
    if square.detail and cell.detail_size:
        axes.text(column, line + 0.26 * spread, square.detail, **inside, fontsize=cell.detail_size)
