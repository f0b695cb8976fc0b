"""What fills the card: memory of one GPU by part, one bar a length and KV dtype."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from niah.errors import NiahError
from niah.planner.estimate import Cell
from niah.planner.memory import GIB
from niah.units import format_length

_PARTS = (
    ("weights", "weights", "#3b528b"), ("cache", "KV cache of one request", "#21918c"),
    ("positions", "position table", "#5ec962"), ("activations", "activations", "#fde725"), ("engine", "engine", "#9a9a9a"),
)


def draw(title: str, cells: Sequence[Cell], file: Path, dpi: int = 160) -> Path:
    """Writes one picture: bars from the bottom, the line is what the engine may take."""
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=(2.6 + 0.55 * max(6, len(cells)), 3.9), layout="constrained")
        for place, cell in enumerate(cells):
            bottom = 0.0
            for name, _, colour in _PARTS:
                height = getattr(cell.need, name) / GIB
                axes.bar(place, height, 0.72, bottom, color=colour, edgecolor="white", linewidth=0.4)
                bottom += height
            mark = "" if cell.fits else "does\nnot fit"
            axes.text(place, bottom, f"{bottom:.0f}{chr(10) if mark else ''}{mark}", ha="center", va="bottom", fontsize=7)
        limit = cells[0].available / GIB
        axes.axhline(limit, color="#b40426", linewidth=1.2)
        axes.text(len(cells) - 0.45, limit, f"{limit:.0f} GiB", color="#b40426", va="bottom", ha="right", fontsize=8)
        axes.set_xticks(range(len(cells)), [f"{format_length(c.length)}\n{_short(c.cache_dtype)}" for c in cells], fontsize=7)
        axes.set_ylabel("GiB on one GPU")
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for _, _, colour in _PARTS]
        axes.legend(handles, [label for _, label, _ in _PARTS], frameon=False, fontsize=7, loc="upper left")
        axes.set_ylim(0, 1.18 * max(limit, *(cell.need.total / GIB for cell in cells)))
        try:
            figure.savefig(file, dpi=dpi)
        except OSError as error:
            raise NiahError(f"{file}: cannot be written ({error.strerror}); free some space") from error
        finally:
            plt.close(figure)
    return file


def _short(dtype: str) -> str:
    return {"bfloat16": "bf16", "fp8_e4m3": "fp8"}.get(dtype, dtype)
