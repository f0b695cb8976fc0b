"""The difference heatmap: points of accuracy gained or lost in every cell, significant ones framed."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt

from niah.report import cell_grid, style
from niah.report.settings import ReportSettings
from niah.stats.comparison import Comparison


def draw(
    found: Sequence[tuple[str, Comparison]], base: str, title: str, confidence: float, folder: Path, settings: ReportSettings
) -> list[Path]:
    """Writes difference.<format>: a grid for each (name, comparison) with the baseline ``base``.

    Below 0.25 the colour scale ends at 25 points, so that noise stays pale.
    """
    cells = [d for _, one in found for d in one.cells]
    lengths, depths = sorted({d.lengths[0] for d in cells}), sorted({d.depth for d in cells})
    has_depth = len(depths) > 1
    widest = max(0.25, *(abs(d.difference) for d in cells))
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(-widest, widest), style.diverging())
    columns = cell_grid.columns_of(len(found), lengths)
    lines = math.ceil(len(found) / columns)
    width, height = cell_grid.size(lengths, depths, has_depth)
    with plt.rc_context(style.STYLE):
        figure, grids = plt.subplots(
            lines, columns, figsize=(2.2 + columns * (width + 0.9), 1.5 + lines * (height + 1.3)), layout="constrained", squeeze=False
        )
        hatched = False
        for place, axes in enumerate(grids.flat):
            if place >= len(found):
                axes.set_visible(False)
                continue
            name, one = found[place]
            hatched |= cell_grid.draw(axes, _shown(one, confidence), lengths, depths, scale, has_depth=has_depth)
            o = one.overall
            axes.set_title(
                f"{name}, all cells: {100 * o.difference:+.1f} [{100 * o.low:+.1f}, {100 * o.high:+.1f}] points, p = {o.p:.2g}",
                loc="left", fontsize=7.5,
            )
        bottom = grids[-1][0]
        bottom.set_xlabel(f"length (tokens)   framed, *: significant at {1 - confidence:.2g} after Holm's adjustment", loc="left")
        bottom.set_ylabel("depth of the needle (0% = start)" if has_depth else "")
        bar = figure.colorbar(scale, ax=grids, shrink=0.8 / lines**0.5, aspect=18, pad=0.02)
        ticks = [-widest, -widest / 2, 0, widest / 2, widest]
        bar.set_ticks(ticks, labels=[f"{100 * tick:+.0f}" if tick else "0" for tick in ticks])
        bar.set_label(f"points against {base}")
        bar.outline.set_visible(False)
        if hatched:
            cell_grid.legend(figure, "no pair of answers")
        figure.suptitle(title, x=0.02, ha="left", fontsize=10, fontweight="bold")
        return style.save(figure, folder, "difference", settings)


def _shown(one: Comparison, confidence: float) -> dict[tuple[int, float], cell_grid.Square]:
    shown = {}
    for d in one.cells:
        # lost and gained apart: 5 and 5 is not the same as 0 and 0
        detail = f"-{d.num_lost} +{d.num_gained} of {d.num_pairs}" if d.num_lost + d.num_gained else f"n={d.num_pairs}"
        is_marked = d.is_significant(confidence)
        text = f"{100 * d.difference:+.0f}" if abs(d.difference) >= 0.005 else "0"
        shown[d.lengths[0], d.depth] = cell_grid.Square(d.difference, f"{text} *" if is_marked else text, detail, is_marked)
    return shown
