"""What fills the card: memory of one GPU by part, one bar a length and KV dtype."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.patches import Rectangle

from niah.planner.estimate import Cell
from niah.planner.memory import GIB
from niah.report import style
from niah.units import format_length

_PARTS = (
    ("weights", "weights", "#3b528b"), ("cache", "KV cache of one request", "#21918c"),
    ("positions", "position table", "#5ec962"), ("activations", "activations", "#fde725"),
    ("engine", "engine", "#9a9a9a"),
)
"""Field of ``memory.Need``, what the legend calls it, and its colour, from the bottom up."""
_LIMIT = "#b40426"


def draw(title: str, cells: Sequence[Cell], file: Path, dpi: int) -> Path:
    """Writes one picture: bars from the bottom, the line is what the engine may take."""
    with style.figure_style():
        figure, axes = style.subplots(figsize=(2.6 + 0.55 * max(6, len(cells)), 3.9))
        for place, cell in enumerate(cells):
            bottom = 0.0
            for name, _, colour in _PARTS:
                height = getattr(cell.need, name) / GIB
                axes.bar(place, height, 0.72, bottom, color=colour, edgecolor="white", linewidth=0.4)
                bottom += height
            text = f"{bottom:.0f}" if cell.fits else f"{bottom:.0f}\ndoes\nnot fit"
            axes.text(place, bottom, text, ha="center", va="bottom", fontsize=7)
        limit = cells[0].available / GIB
        axes.axhline(limit, color=_LIMIT, linewidth=1.2)
        axes.text(len(cells) - 0.45, limit, f"{limit:.0f} GiB", color=_LIMIT, va="bottom", ha="right", fontsize=8)
        names = [f"{format_length(cell.length)}\n{_short(cell.cache_dtype)}" for cell in cells]
        axes.set_xticks(range(len(cells)), names, fontsize=7)
        axes.set_ylabel("GiB on one GPU")
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        handles = [Rectangle((0, 0), 1, 1, color=colour) for _, _, colour in _PARTS]
        axes.legend(handles, [label for _, label, _ in _PARTS], frameon=False, fontsize=7, loc="upper left")
        axes.set_ylim(0, 1.18 * max(limit, *(cell.need.total / GIB for cell in cells)))
        return style.save_as(figure, [file], dpi)[0]


def _short(dtype: str) -> str:
    return {"bfloat16": "bf16", "fp8_e4m3": "fp8"}.get(dtype, dtype)
