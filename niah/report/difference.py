"""The difference heatmap: points of accuracy gained or lost in every cell, significant ones framed."""

from collections.abc import Sequence
from pathlib import Path

from niah.report import cell_grid, style, verdict
from niah.report.cell_grid import Margins, Square
from niah.report.settings import ReportSettings
from niah.stats.comparison import Comparison, Difference

_TICKS = (-1, -0.5, -0.25, -0.05, 0, 0.05, 0.25, 0.5, 1)


def draw(
    found: Sequence[tuple[str, Comparison]], base: str, title: str, confidence: float, engine: str, folder: Path,
    settings: ReportSettings,
) -> list[Path]:
    """Writes difference.<format> for each format of the settings."""
    with style.figure_style(settings.font, has_axes=False):
        return style.save(figure(found, base, title, confidence, engine, settings), folder, "difference", settings)


def figure(
    found: Sequence[tuple[str, Comparison]], base: str, title: str, confidence: float, engine: str,
    settings: ReportSettings,
) -> style.Picture:
    """A grid for each (name, comparison) with the baseline ``base``, which ``engine`` answered."""
    panels = [_squares(one, confidence) for _, one in found]
    places = {place for panel in panels for place in panel}
    lengths, depths = sorted({length for length, _ in places}), sorted({depth for _, depth in places})
    titles = [f"{name}, all cells: {_overall(one.overall)}" for name, one in found]
    with style.figure_style(settings.font, has_axes=False):
        grids = cell_grid.draw(
            panels, lengths, depths, style.differences(), Margins(2.2, 1.5, 1.3), titles=titles, title_size=7.5,
            has_depth=[depths != [0.0]] * len(panels), page=settings.width,
        )
        framed = f"framed, *: significant at {1 - confidence:.2g} after Holm's adjustment"
        grids.bottom.set_xlabel(f"length (tokens)   {framed}", loc="left")
        grids.bar.set_ticks(_TICKS, labels=[f"{100 * tick:+.0f}" if tick else "0" for tick in _TICKS])
        grids.bar.set_label(f"points against {base}")
        if grids.has_hatching:
            cell_grid.legend(grids.figure, "no pair of answers")
        style.title(grids.figure, title)
        style.made_up(grids.figure, [engine])
        return grids.figure


def _overall(one: Difference) -> str:
    return f"{verdict.span(one)} points, {f'p = {one.adjusted_p:.2g}' if one.has_test else 'no verdict'}"


def _squares(comparison: Comparison, confidence: float) -> dict[tuple[int, float], Square]:
    return {(one.lengths[0], one.depth or 0.0): _square(one, confidence) for one in comparison.cells}


def _square(one: Difference, confidence: float) -> Square:
    """Lost and gained apart: 5 and 5 is not the same as 0 and 0."""
    counts = f"-{one.num_lost} +{one.num_gained} of {one.num_pairs}"
    is_marked = one.is_significant(confidence)
    text = f"{100 * one.difference:+.1f}".removesuffix(".0") if abs(one.difference) >= 0.0005 else "0"
    return Square(
        one.difference, f"{text} *" if is_marked else text,
        counts if one.num_lost + one.num_gained else f"n={one.num_pairs}", is_marked,
    )
