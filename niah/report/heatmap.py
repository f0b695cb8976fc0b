"""The heatmap: accuracy of every depth and length, its number and n in each cell."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch, Rectangle

from niah.environment import hardware_label
from niah.errors import NiahError
from niah.records import CellStats, Row
from niah.report.settings import ReportSettings
from niah.stats.cells import by_cell
from niah.units import format_length

COLOURS = "viridis"
"""Perceptually uniform and readable with every common colour blindness; always 0 to 1."""
_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.spines.bottom": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "niah",
    "hatch.linewidth": 0.6,
    "hatch.color": "#9a9a9a",
}


def draw(run: Mapping[str, Any], rows: Sequence[Row], folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes heatmap.<format> for each format of the settings and returns the files."""
    lengths = sorted(set(run["config"]["ctx"]["lengths"]))
    has_depth = run["plan"].get("has_depth", True)
    depths = sorted(set(run["config"]["ctx"]["depths"])) if has_depth else [0.0]
    cells = by_cell(rows)
    with plt.rc_context(_STYLE):
        width = 2.9 + 0.62 * max(len(lengths), 4)
        height = 2.1 + 0.36 * (max(len(depths), 4) if has_depth else 1.2)
        figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
        colours = matplotlib.colormaps[COLOURS]
        small = len(lengths) > 20
        for column, length in enumerate(lengths):
            for line, depth in enumerate(depths):
                _cell(axes, cells.get((length, depth)), column, line, colours, small)
        axes.set_xlim(-0.5, len(lengths) - 0.5)
        axes.set_ylim(len(depths) - 0.5, -0.5)
        axes.set_xticks(range(len(lengths)), [format_length(length) for length in lengths])
        axes.set_yticks(range(len(depths)), [f"{depth:g}%" for depth in depths] if has_depth else ["whole\ncontext"])
        axes.tick_params(length=0)
        axes.set_xlabel("length (tokens, prompt and answer)")
        axes.set_ylabel("depth of the needle (0% = start)" if has_depth else "")
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 1), colours)
        bar = figure.colorbar(scale, ax=axes, shrink=0.8, aspect=18, pad=0.02, ticks=[0, 0.25, 0.5, 0.75, 1])
        bar.set_label("accuracy")
        bar.outline.set_visible(False)
        _titles(figure, axes, run, rows)
        if any((length, depth) not in cells or not cells[length, depth].n for length in lengths for depth in depths):
            axes.legend(
                handles=[Patch(facecolor="#f2f2f2", edgecolor="#9a9a9a", hatch="////", label="no answer: not run, or the engine failed")],
                loc="upper left", bbox_to_anchor=(0, -0.14), frameon=False, fontsize=8,
            )
        written = []
        try:
            for name in settings.formats:
                written.append(folder / f"heatmap.{name}")
                # no date in the file: the same rows give the same bytes
                metadata = {"Date": None} if name == "svg" else {"CreationDate": None} if name == "pdf" else None
                figure.savefig(written[-1], dpi=settings.dpi, metadata=metadata)
        except OSError as error:
            raise NiahError(f"{written[-1]}: cannot be written ({error.strerror}); free some space") from error
        finally:
            plt.close(figure)
    return written


def _cell(axes, cell: CellStats | None, column: int, line: int, colours, small: bool) -> None:
    box = {"xy": (column - 0.5, line - 0.5), "width": 1, "height": 1, "linewidth": 0.8}
    if cell is None or cell.n == 0:
        axes.add_patch(Rectangle(**box, facecolor="#f2f2f2", edgecolor="white", hatch="////"))
        if cell is not None:
            axes.text(column, line, _short_outcome(cell), ha="center", va="center", fontsize=6, color="#444444",
                      bbox={"facecolor": "#f2f2f2", "edgecolor": "none", "pad": 1})
        return
    colour = colours(cell.mean)
    axes.add_patch(Rectangle(**box, facecolor=colour, edgecolor="white"))
    ink = "black" if _luminance(colour) > 0.36 else "white"
    if small:
        return
    errors = f", {cell.errors} failed" if cell.errors else ""
    axes.text(column, line - 0.1, f"{cell.mean:.2f}", ha="center", va="center", fontsize=8.5, color=ink)
    axes.text(column, line + 0.26, f"n={cell.n}{errors}", ha="center", va="center", fontsize=5.5, color=ink)


def _short_outcome(cell: CellStats) -> str:
    return ", ".join(name.replace("-", " ") for name in sorted(cell.outcomes))


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance (WCAG 2.2): which ink reads better on it."""
    linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _titles(figure, axes, run: Mapping[str, Any], rows: Sequence[Row]) -> None:
    config = run["config"]
    model = config["model"].get("label") or config["model"]["path"]
    task, answer = config["task"]["name"], config["task"].get("answer")
    right = ", right is to say that nothing is there" if config["scorer"]["name"] == "claims_absence" else ""
    answered = sum(1 for row in rows if row.score is not None)
    details = [
        f"accuracy by {'depth and ' if run['plan'].get('has_depth', True) else ''}length{right}, {answered} of {run['plan']['num_trials']} trials",
        f"task {task}{f' ({answer})' if answer else ''}, haystack {_haystack(run, config)}, "
        f"reader {config['reader']['name']}, KV cache {config['kv']['dtype']}",
        f"{run['engine'].get('vllm') or config['engine']['name']} on {hardware_label(run['environment'])}",
    ]
    axes.set_title("\n".join(details), loc="left", fontsize=7, color="#444444", pad=6, linespacing=1.4)
    figure.suptitle(model, x=0.02, ha="left", fontsize=11, fontweight="bold")


def _haystack(run: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    if run["sources"].get("haystack_sha256") is None:
        return "none: the task writes the text"
    own = config["haystack"]
    details = [own[key] for key in ("language", "order") if own.get(key) not in (None, "en", "coherent")]
    return own["name"] + (f" ({', '.join(details)})" if details else "")
