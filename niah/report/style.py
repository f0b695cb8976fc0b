"""What all figures share: fonts, inks, hatching, colour scales, titles, and how a figure gets on the disk."""

import io
import logging
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, FuncNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text

from niah import disk, secrets, terminal
from niah.errors import NiahError
from niah.report import column_width
from niah.report.settings import ReportSettings

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # many fonts have no bold: that is no news

COLOURS = "viridis"
"""Perceptually uniform and readable with every common colour blindness."""
LINES = ("#3b528b", "#d1495b", "#21918c", "#e09f3e", "#6a4c93", "#5a5a5a")
MARKS = ("o", "s", "^", "D", "v", "P")
GREY = "#f2f2f2"
FAINT = "#9a9a9a"
INK = "#444444"
_ALARM = "#a50f3c"
_OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "IPAGothic", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Noto Sans Bengali", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS",
)
_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType, as journals ask for: text stays text
    "svg.hashsalt": "niah",
    "hatch.linewidth": 0.6,
    "hatch.color": FAINT,
    "text.parse_math": False,  # labels are text: a dollar is a dollar
}
_MAX_LINE = 240
"""Characters."""


@contextmanager
def figure_style(font: str = "", *, has_axes: bool = True) -> Iterator[None]:
    """A figure is made, drawn and saved inside; ``has_axes`` draws the lines left of it and below. ``font`` is the
    user's own, used for what DejaVu Sans has not."""
    families = list(families_of(font))
    settings: dict[Any, Any] = {
        **_STYLE, "font.family": families, "axes.spines.left": has_axes, "axes.spines.bottom": has_axes,
    }
    with matplotlib.rc_context(settings):
        yield


class Picture(Figure):
    """A figure outside pyplot, which would take a window system or change a notebook's; a notebook shows it as it
    is."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=self.dpi)
        return content.getvalue()


def subplots(
    num_lines: int = 1, num_columns: int = 1, *, figsize: tuple[float, float], **shared: Any
) -> tuple[Picture, Any]:
    """A figure, laid out by its contents, and its axes, as pyplot's function of this name gives them."""
    figure = Picture(figsize=figsize, layout="constrained")
    return figure, figure.subplots(num_lines, num_columns, **shared)


def families_of(font: str) -> tuple[str, ...]:
    """The fonts of a figure, each for what those before it have not. Raises NiahError where there is no ``font``."""
    own = [_named(font)] if font else []
    return (*_STYLE["font.family"], *own, *_other_scripts())


def _named(font: str) -> str:
    """The family that is meant: its name, or that in a file of it."""
    file = Path(os.path.expanduser(font))
    try:
        if file.is_file():
            font_manager.fontManager.addfont(file)
            return str(font_manager.FontProperties(fname=file).get_name())
        if font in font_manager.get_font_names():
            return font
        why = "no such font or file here"
    except (OSError, RuntimeError, ValueError) as error:  # of FreeType
        why = f"cannot be read ({error})"
    raise NiahError(f"report.font: got {font}, {why}; expected the name of a font (fc-list : family) or a .ttf file")


def undrawn(texts: Iterable[str], font: str) -> list[str]:
    """A line to print where no font draws some characters of the texts that stand in figures."""
    wanted = {c for text in texts for c in _fitting(text) if c > "\x7f"}
    if not wanted:
        return []
    for family in families_of(font):
        wanted -= {chr(code) for code in _characters(family)}
    if not wanted:
        return []
    some = "".join(sorted(wanted)[:8])
    return [
        f"note: no font here draws {some}{' ...' if len(wanted) > 8 else ''} ({len(wanted)} characters): boxes in "
        "pictures, as they are on the page; report.font=NAME or a .ttf file draws them"
    ]


@cache
def _characters(family: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(family)).get_charmap())


@cache
def _other_scripts() -> tuple[str, ...]:
    """Fonts of this machine for what DejaVu Sans has not: Chinese, Japanese, Korean, Arabic, Devanagari, Bengali."""
    there = set(font_manager.get_font_names())
    return tuple(name for name in _OTHER_FONTS if name in there)


def made_up(figure: Figure, engines: Iterable[str]) -> None:
    """Says in the picture itself that no model was asked, where that is so of one of the engines."""
    if "fake" in engines:
        figure.text(
            0.995, 0.995, "engine=fake: no model was asked", ha="right", va="top", fontsize=8, color=_ALARM,
            fontweight="bold", gid=column_width.BANNER,
        )


def title(figure: Figure, text: str, *, size: float = 10, x: float = 0.02) -> None:
    """Above the whole figure, from ``x`` (a share of its width) on."""
    figure.suptitle(text, x=x, ha="left", fontsize=size, fontweight="bold")


def diverging() -> Colormap:
    """Red is loss, blue is gain, white is no difference; without RdBu's ends, which are too dark to be told apart."""
    middle = matplotlib.colormaps["RdBu"](np.linspace(0.09, 0.91, 255))
    return LinearSegmentedColormap.from_list("niah difference", middle)


def differences() -> ScalarMappable:
    """The one scale of all differences, from -1 to 1 (100 points lost or gained): a colour means the same in every
    figure and on the page. Its root is taken, so that few points are seen and noise stays pale: 25 have half of the
    colour."""
    scale = FuncNorm((_root, _square), vmin=-1, vmax=1)
    return ScalarMappable(scale, diverging())


def _root(values: Any) -> Any:
    return np.sign(values) * np.sqrt(np.abs(values))


def _square(values: Any) -> Any:
    return np.sign(values) * np.square(values)


def save(figure: Figure, folder: Path, name: str, settings: ReportSettings) -> list[Path]:
    """Writes name.<format> for each format of the settings and returns the files."""
    return save_as(figure, [folder / f"{name}.{kind}" for kind in settings.formats], settings.dpi, settings.width)


def save_as(figure: Figure, files: Sequence[Path], dpi: int, width: str | None = None) -> list[Path]:
    """Writes the figure to each file, in the format of its ending. ``width``: that of a paper's column."""
    written: list[Path] = []
    finish(figure, dpi, width)
    try:
        with _without_warnings():
            for file in files:
                written.append(file)
                _save(figure, file, dpi)
    except OSError as error:
        raise NiahError(
            f"{written[-1]}: cannot be written ({error.strerror}); expected a writable folder with free space"
        ) from error
    return written


def finish(figure: Figure, dpi: int, width: str | None = None) -> None:
    """Makes all text such as any picture can hold it, and finds the places of everything."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    for text in texts:
        text.set_text("\n".join(map(_fitting, text.get_text().split("\n"))))
    figure.set_dpi(dpi)
    inside = [text for text in texts if text.get_visible() and not text.get_in_layout()]
    with _without_warnings():
        if width:
            column_width.fit(figure, width)
        else:
            column_width.keep_within(figure)
        column_width.clear_banner(figure)
        _lay_out(figure, inside)
        if width:
            column_width.settle(figure, inside)


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # ``undrawn`` says so, in one line
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # a title wider than any picture
        yield


def _save(figure: Figure, file: Path, dpi: int) -> None:
    # no date in the file: the same rows give the same bytes
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(file.suffix)
    with disk.replacement(file) as content:
        figure.savefig(content, format=file.suffix[1:], dpi=dpi, metadata=metadata)


def _lay_out(figure: Figure, inside: Sequence[Text]) -> None:
    """Finds the places of everything, once for all formats: savefig would draw the whole figure for it each time.
    Texts that have their place ``inside`` something else are left out."""
    for text in inside:
        text.set_visible(False)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
    for text in inside:
        text.set_visible(True)


def label(text: str) -> str:
    """A line's name for a legend, which leaves out names that begin with an underscore."""
    return f" {text}" if text.startswith("_") else text


def _fitting(line: str) -> str:
    """A line of text as any picture can hold it, and no longer than one can show."""
    safe = terminal.visible(secrets.masked(line)).replace("\t", " ")
    return safe if len(safe) <= _MAX_LINE else safe[: _MAX_LINE - 1] + "…"


def ink(colour: Sequence[float]) -> str:
    """Black or white, whichever reads better on the colour."""
    return "black" if luminance(colour) > 0.36 else "white"


def luminance(colour: Sequence[float]) -> float:
    """Relative luminance (WCAG 2.2) of an (r, g, b, ...) in 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
