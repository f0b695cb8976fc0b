"""A figure as wide as a column of a two-column paper, or as both: drawn for that width with texts that can be read,
not shrunk to it afterwards."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

INCHES = {"single": 3.5, "double": 7.16}
"""Of IEEE's two columns; those of ACL and ICML are a quarter of an inch to half an inch narrower."""
BANNER = "made up"
"""The gid of the text that says that no model was asked."""
_LEAST_POINTS, _LEAST_IN_CELL = 5.0, 3.6
_LEAST_SCALE = 0.72
"""Of texts: a figure that is made half as wide has texts of 72%."""
_CHARACTER, _BOLD_CHARACTER = 0.55, 0.63
"""Width of a character of DejaVu Sans, about, in heights."""
_BANNER_INCHES = 0.14


def fit(figure: Figure, width: str) -> None:
    """Before its layout: makes the figure that wide, its texts smaller and its long lines broken."""
    target = INCHES[width]
    before, height = figure.get_size_inches()
    share = min(1.0, target / before)
    height = min(height, max(height * share, 0.68 * target)) if share < 1 else height
    figure.set_size_inches(target, height)
    _shrink_texts(figure, max(share, _LEAST_SCALE))
    grids = _grids(figure)
    columns = _columns(grids)
    for text in figure.texts:  # its title
        _break(text, 0.96 * target)
    for axes in grids:
        for text in (*_titles(axes), axes.xaxis.label):
            _break(text, 0.82 * target / columns)


def keep_within(figure: Figure) -> None:
    """Before its layout, of a figure that is as wide as it needs: breaks titles that are wider than all of it, or than
    their own column of it."""
    width = float(figure.get_size_inches()[0])
    grids = _grids(figure)
    above = [text for axes in grids for text in _titles(axes)]
    for text, share in [*((text, 0.96) for text in figure.texts), *((text, 0.9 / _columns(grids)) for text in above)]:
        if text.get_gid() != BANNER:
            _break(text, share * width)


def _grids(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible() and not str(axes.get_label()).startswith("<colorbar")]


def _columns(grids: Sequence[Axes]) -> int:
    return max(1, len({round(axes.get_position().x0, 2) for axes in grids}))


def _titles(axes: Axes) -> list[Text]:
    return [child for child in axes.get_children() if isinstance(child, Text) and child not in axes.texts]


def clear_banner(figure: Figure) -> None:
    """Before its layout: the banner goes below all where there is no room for it beside the title."""
    banner = next((text for text in figure.texts if text.get_gid() == BANNER), None)
    engine = figure.get_layout_engine()
    if banner is None or not isinstance(engine, ConstrainedLayoutEngine):
        return
    width, height = figure.get_size_inches()
    texts = [text for text in figure.texts if text is not banner]
    if not texts:  # then that of the first axes is the figure's
        texts = [text for axes in figure.axes[:1] for text in _titles(axes)]
    first_lines, sizes = [text.get_text().partition("\n")[0] for text in texts], [text.get_fontsize() for text in texts]
    titles = [len(line) * float(size) for line, size in zip(first_lines, sizes, strict=True)]
    needed = max(titles, default=0.0) + len(banner.get_text()) * float(banner.get_fontsize())
    if needed * _BOLD_CHARACTER / 72 > 0.94 * width:
        banner.set_position((0.995, 0.01))
        banner.set_verticalalignment("bottom")
        engine.set(rect=(0, _BANNER_INCHES / height, 1, 1 - _BANNER_INCHES / height))


def settle(figure: Figure, inside: Sequence[Text]) -> None:
    """After its layout: texts ``inside`` cells as small as their cells, or away where nobody could read them; names
    of ticks that would run into each other left out."""
    for axes in figure.axes:
        if axes.get_visible() and not str(axes.get_label()).startswith("<colorbar"):
            _thin_out(axes.xaxis, is_across=True)
            _thin_out(axes.yaxis, is_across=False)
    by_axes: dict[tuple[Any, float], list[Text]] = {}
    for text in inside:
        by_axes.setdefault((text.axes, float(text.get_fontsize())), []).append(text)
    scales: dict[float, float] = {}  # alike in all grids
    for (axes, size), texts in by_axes.items():
        scales[size] = min(scales.get(size, 1.0), _scale_in_cell(axes, texts))
    for (_, size), texts in by_axes.items():
        scale = scales[size]
        for text in texts:
            text.set_fontsize(size * scale)
            text.set_visible(size * scale >= _LEAST_IN_CELL)


def _shrink_texts(figure: Figure, scale: float) -> None:
    ticks: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = axis.get_ticklabels()
            ticks |= {*labels}
            if labels:
                axis.set_tick_params(labelsize=max(_LEAST_POINTS, float(labels[0].get_fontsize()) * scale))
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text not in ticks:
            size = float(text.get_fontsize())
            text.set_fontsize(max(min(size, _LEAST_POINTS), size * scale))


def _break(text: Text, inches: float) -> None:
    """Lines no longer than so many inches, about."""
    wide = _BOLD_CHARACTER if text.get_fontweight() == "bold" else _CHARACTER
    most = max(12, int(inches * 72 / (wide * float(text.get_fontsize()))))
    lines = text.get_text().split("\n")
    text.set_text("\n".join(part for line in lines for part in textwrap.wrap(line, most) or [line]))


def _scale_in_cell(axes: Axes, texts: Sequence[Text]) -> float:
    """By how much texts have to be smaller for the longest to lie within a cell, which is 1 by 1."""
    (left, top), (right, bottom) = axes.transData.transform([(0, 0), (1, 1)])
    longest = max(texts, key=lambda text: len(text.get_text()))
    box = longest.get_window_extent()
    return float(min(1.0, 0.94 * abs(right - left) / box.width, 0.42 * abs(bottom - top) / box.height))


def _thin_out(axis: Axis, *, is_across: bool) -> None:
    labels = [label for label in axis.get_ticklabels() if label.get_text()]
    if len(labels) < 2:
        return
    boxes = [label.get_window_extent() for label in labels]
    sizes, places = zip(*((box.width, box.x0 + box.width / 2) if is_across else (box.height, box.y0) for box in boxes),
                        strict=True)
    step = math.ceil(1.12 * max(sizes) / max(1.0, _nearest(places)))
    for number, label in enumerate(labels):
        label.set_visible(number % step == 0)


def _nearest(places: Iterable[float]) -> float:
    ordered = sorted(places)
    return min(second - first for first, second in itertools.pairwise(ordered))
