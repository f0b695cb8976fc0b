"""Accuracy by length, a line a reader: intervals, where the full context no longer fits, where RAG becomes the
better choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.axes import Axes

from niah.report import line_chart, style
from niah.report.settings import ReportSettings
from niah.stats.cells import CellStats

Look = tuple[str, str, str]
"""Colour, dashes and mark of a line."""
REFERENCES = {"full": (style.INK, "-", "o"), "oracle": (style.FAINT, "--", "^"), "none": (style.FAINT, ":", "v")}
"""The looks of the readers that do not retrieve."""
_COLOURS = ("#d1495b", "#3b528b", "#21918c", "#e09f3e", "#6a4c93", "#7a9e3f", "#b07aa1", "#2b8cbe")
_MAX_BANDS = 3
"""More bands hide each other: then only full has one."""


@dataclass(frozen=True)
class Line:
    """``cells`` by length. ``crossing`` is the length from which on it is shown to be better than full, None for
    nowhere."""

    label: str
    reader: str
    cells: Sequence[CellStats] = field(repr=False)
    crossing: int | None = None


def looks(lines: Sequence[tuple[str, str]]) -> list[Look]:
    """The look of each (label, reader): the same in all pictures."""
    found: list[Look] = []
    number = 0
    for _, reader in lines:
        if reader in REFERENCES:
            found.append(REFERENCES[reader])
        else:
            found.append((_COLOURS[number % len(_COLOURS)], "-", ("s", "D", "P", "X", "*")[number % 5]))
            number += 1
    return found


def draw(
    title: str, lines: Sequence[Line], lengths: Sequence[int], unfit: Sequence[int], engine: str, name: str,
    folder: Path, settings: ReportSettings,
) -> list[Path]:
    """Writes name.<format>. Grey ground: lengths at which the full context does not fit (``unfit``). Ring: better
    than full from here on."""
    place = {length: number for number, length in enumerate(lengths)}
    num_retrieving = sum(line.reader not in REFERENCES for line in lines)
    apart = [line for line in lines if line.reader not in ("oracle", "none")]  # their intervals would hide each other
    with style.figure_style(settings.font):
        figure, axes = style.subplots(figsize=(4.2 + 0.75 * max(len(lengths), 4), 3.9))
        if unfit:
            _ground(axes, [place[length] for length in unfit])
        for line, look in zip(lines, looks([(one.label, one.reader) for one in lines]), strict=True):
            step = min(0.07, 0.5 / len(apart)) if apart else 0.0
            shift = step * (apart.index(line) - (len(apart) - 1) / 2) if line in apart else 0.0
            is_retrieving = line.reader not in REFERENCES
            has_band = line.reader == "full" or (is_retrieving and num_retrieving <= _MAX_BANDS)
            _line(axes, line, look, place, shift, has_band=has_band)
        line_chart.length_axis(axes, lengths, "length of the whole context (tokens)", room=0.5)
        line_chart.accuracy_axis(axes, "accuracy, 95% interval")
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=18)
        figure.legend(loc="outside right center", frameon=False, fontsize=7.5)
        if any(line.crossing for line in lines):
            text = "ring: better than full from here on"
            axes.text(0, 1.015, text, transform=axes.transAxes, fontsize=7, color=style.INK, va="bottom")
        style.made_up(figure, [engine])
        return style.save(figure, folder, name, settings)


def _ground(axes: Axes, places: Sequence[int]) -> None:
    """Grey where the full context does not fit, from the first of these places to the last."""
    first, last = min(places), max(places)
    axes.axvspan(first - 0.5, last + 0.5, color=style.GREY, zorder=0, linewidth=0)
    text = "the full context does not fit"
    axes.text((first + last) / 2, 1.075, text, ha="center", va="bottom", fontsize=7, color=style.INK)


def _line(
    axes: Axes, line: Line, look: Look, place: Mapping[int, int], shift: float, *, has_band: bool
) -> None:
    colour, dashes, mark = look
    shown = [cell for cell in line.cells if cell.n]
    x, y = [place[cell.length] + shift for cell in shown], [cell.mean for cell in shown]
    is_retrieving = line.reader not in REFERENCES
    has_interval = is_retrieving or line.reader == "full"
    axes.plot(
        x, y, color=colour, linestyle=dashes, marker=mark, markersize=4.5, linewidth=1.4 if has_interval else 1.1,
        label=style.label(line.label), zorder=3 if is_retrieving else 2, clip_on=False,
    )
    if has_band:
        low, high = [cell.low for cell in shown], [cell.high for cell in shown]
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    if has_interval:
        line_chart.intervals(axes, x, shown, colour, elinewidth=0.7, capsize=1.5, alpha=0.75)
    at = next((cell.mean for cell in shown if cell.length == line.crossing), None)
    if line.crossing is not None and at is not None:
        line_chart.ring(axes, place[line.crossing] + shift, at, colour, clip_on=False, zorder=4)
