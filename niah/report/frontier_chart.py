"""A search for the effective length in one picture: what is believed, what was asked, what is proven at which cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from niah.report import style
from niah.report.line_chart import length_axis
from niah.report.settings import ReportSettings
from niah.units import format_length


def draw(
    title: str, lengths: Sequence[int], depths: Sequence[float], means: np.ndarray, counts: np.ndarray,
    steps: Sequence[tuple[int, int, int]], engine: str, name: str, folder: Path, settings: ReportSettings,
) -> list[Path]:
    """Writes name.<format>. ``means`` are (lengths, depths), ``counts`` contexts by length, ``steps`` (tokens so far,
    lengths that pass at least, at most)."""
    if not settings.formats:
        return []
    with style.figure_style():
        figure, (surface, spent, proven) = style.subplots(
            1, 3, figsize=(12.5, 3.6), width_ratios=(1.2, 1.0, 1.4)
        )
        shown = surface.imshow(
            means.T, vmin=0, vmax=1, aspect="auto", cmap=style.COLOURS, origin="upper",
            extent=(-0.5, len(lengths) - 0.5, len(depths) - 0.5, -0.5),
        )
        figure.colorbar(shown, ax=surface, label="accuracy, believed")
        surface.set_yticks(range(len(depths)), [f"{depth:g}" for depth in depths], fontsize=7)
        surface.set_ylabel("depth, %")
        length_axis(surface, lengths, "length, tokens", room=0.5)
        surface.set_title("what the chooser believes (no claim)", fontsize=9, loc="left")
        spent.bar(range(len(lengths)), counts, 0.7, color=style.LINES[0])
        for place, count in enumerate(counts):
            spent.text(place, count, str(int(count)), ha="center", va="bottom", fontsize=7)
        length_axis(spent, lengths, "length, tokens", room=0.6)
        spent.set_ylabel("contexts asked")
        spent.set_title("what was asked", fontsize=9, loc="left")
        _certificate(proven, lengths, steps)
        for axes in (surface, spent):
            axes.tick_params(axis="x", labelrotation=45 if len(lengths) > 6 else 0)
        style.title(figure, title)
        style.made_up(figure, [engine])
        return style.save(figure, folder, name, settings)


def _certificate(axes: Axes, lengths: Sequence[int], steps: Sequence[tuple[int, int, int]]) -> None:
    tokens = [0, *(step[0] for step in steps)]
    low, high = ([first, *(step[place] for step in steps)] for place, first in ((1, 0), (2, len(lengths))))
    axes.fill_between(tokens, low, high, step="post", color=style.LINES[2], alpha=0.25, linewidth=0)
    axes.step(tokens, low, where="post", color=style.LINES[2], linewidth=1.5)
    axes.step(tokens, high, where="post", color=style.LINES[1], linewidth=1.5)
    names = ["below", *(format_length(length) for length in lengths)]
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(-0.3, len(lengths) + 0.3)
    axes.set_xlim(0, 1.04 * max(tokens[-1], 1))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("tokens computed")
    axes.set_ylabel("effective length")
    axes.set_title("what is proven: at least (green), at most (red)", fontsize=9, loc="left")
