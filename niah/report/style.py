"""What all figures share: fonts, inks, hatching, colour scales, and how a figure gets on the disk."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from niah.errors import NiahError
from niah.report.settings import ReportSettings

COLOURS = "viridis"
"""Perceptually uniform and readable with every common colour blindness."""
LINES = ("#3b528b", "#d1495b", "#21918c", "#e09f3e", "#6a4c93", "#5a5a5a")
MARKS = ("o", "s", "^", "D", "v", "P")
GREY = "#f2f2f2"
FAINT = "#9a9a9a"
INK = "#444444"
STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.spines.bottom": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "niah",
    "hatch.linewidth": 0.6,
    "hatch.color": FAINT,
}


def diverging() -> matplotlib.colors.Colormap:
    """Red is loss, blue is gain, white is no difference; without RdBu's ends, too dark to tell apart."""
    middle = matplotlib.colormaps["RdBu"](np.linspace(0.09, 0.91, 255))
    return matplotlib.colors.LinearSegmentedColormap.from_list("niah difference", middle)


def save(figure, folder: Path, name: str, settings: ReportSettings) -> list[Path]:
    """Writes name.<format> for each format of the settings, closes the figure and returns the files."""
    written = []
    try:
        for kind in settings.formats:
            written.append(folder / f"{name}.{kind}")
            # no date in the file: the same rows give the same bytes
            metadata = {"Date": None} if kind == "svg" else {"CreationDate": None} if kind == "pdf" else None
            figure.savefig(written[-1], dpi=settings.dpi, metadata=metadata)
            figure.set_layout_engine("none")  # the places found for the first format hold for all
    except OSError as error:
        raise NiahError(f"{written[-1]}: cannot be written ({error.strerror}); free some space") from error
    finally:
        plt.close(figure)
    return written


def ink(colour: Sequence[float]) -> str:
    """Black or white, whichever reads better on the colour."""
    return "black" if luminance(colour) > 0.36 else "white"


def luminance(colour: Sequence[float]) -> float:
    """Relative luminance (WCAG 2.2) of an (r, g, b, ...) in 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
