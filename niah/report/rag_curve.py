"""Accuracy by length, a line a reader: intervals, where the full context no longer fits, where RAG becomes the better choice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib import pyplot as plt

from niah.report import style
from niah.report.settings import ReportSettings
from niah.stats.cells import CellStats
from niah.units import format_length

REFERENCES = {"full": (style.INK, "-", "o"), "oracle": (style.FAINT, "--", "^"), "none": (style.FAINT, ":", "v")}
"""Colour, dashes and mark of the readers that do not retrieve."""
_COLOURS = ("#d1495b", "#3b528b", "#21918c", "#e09f3e", "#6a4c93", "#7a9e3f", "#b07aa1", "#2b8cbe")
_BANDS = 3
"""More bands hide each other: then only full has one."""


@dataclass(frozen=True)
class Line:
    """``cells`` by length. ``crossing`` is the length from which on it is better than full, None for nowhere."""

    label: str
    reader: str
    cells: Sequence[CellStats] = field(repr=False)
    crossing: int | None = None


def looks(lines: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Colour, dashes and mark of each (label, reader): the same in all pictures."""
    found, number = [], 0
    for _, reader in lines:
        if reader in REFERENCES:
            found.append(REFERENCES[reader])
        else:
            found.append((_COLOURS[number % len(_COLOURS)], "-", ("s", "D", "P", "X", "*")[number % 5]))
            number += 1
    return found


def draw(title: str, lines: Sequence[Line], lengths: Sequence[int], unfit: Sequence[int], name: str, folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes name.<format>. Grey ground: lengths at which the full context does not fit. Ring: better than full from here on."""
    place = {length: number for number, length in enumerate(lengths)}
    with plt.rc_context({**style.STYLE, "axes.spines.left": True, "axes.spines.bottom": True}):
        figure, axes = plt.subplots(figsize=(4.2 + 0.75 * max(len(lengths), 4), 3.9), layout="constrained")
        if unfit:
            first, last = min(place[n] for n in unfit), max(place[n] for n in unfit)
            axes.axvspan(first - 0.5, last + 0.5, color=style.GREY, zorder=0, linewidth=0)
            axes.text((first + last) / 2, 1.075, "the full context does not fit", ha="center", va="bottom", fontsize=7, color=style.INK)
        drawn = [(line, look) for line, look in zip(lines, looks([(x.label, x.reader) for x in lines]), strict=True)]
        retrieving = sum(line.reader not in REFERENCES for line in lines)
        apart = [line for line in lines if line.reader not in ("oracle", "none")]  # those with intervals, which would hide each other
        for line, look in drawn:
            shift = min(0.07, 0.5 / len(apart)) * (apart.index(line) - (len(apart) - 1) / 2) if line in apart else 0.0
            _line(axes, line, look, place, shift, has_band=line.reader == "full" or (line.reader not in REFERENCES and retrieving <= _BANDS))
        axes.set_xticks(range(len(lengths)), [format_length(length) for length in lengths])
        axes.set_xlim(-0.5, len(lengths) - 0.5)
        axes.set_ylim(-0.03, 1.06)
        axes.set_xlabel("length of the whole context (tokens)")
        axes.set_ylabel("accuracy, 95% interval")
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=18)
        figure.legend(loc="outside right center", frameon=False, fontsize=7.5)
        if any(line.crossing for line in lines):
            axes.plot([], [], marker="o", markersize=10, markerfacecolor="none", markeredgecolor=style.INK, linestyle="none")
            axes.text(0, 1.015, "ring: higher than full from here on, as far as was seen", transform=axes.transAxes, fontsize=7, color=style.INK, va="bottom")
        return style.save(figure, folder, name, settings)


def _line(axes, line: Line, look: tuple[str, str, str], place: dict[int, int], shift: float, *, has_band: bool) -> None:
    colour, dashes, mark = look
    shown = [cell for cell in line.cells if cell.n]
    x = [place[cell.length] + shift for cell in shown]
    y = [cell.mean for cell in shown]
    is_own = line.reader not in REFERENCES
    axes.plot(x, y, color=colour, linestyle=dashes, marker=mark, markersize=4.5, linewidth=1.4 if is_own or line.reader == "full" else 1.1,
              label=line.label, zorder=3 if is_own else 2, clip_on=False)
    if has_band:
        axes.fill_between(x, [cell.low for cell in shown], [cell.high for cell in shown], color=colour, alpha=0.12, linewidth=0)
    if is_own or line.reader == "full":
        axes.errorbar(x, y, yerr=[[max(0, c.mean - c.low) for c in shown], [max(0, c.high - c.mean) for c in shown]],
                      fmt="none", ecolor=colour, elinewidth=0.7, capsize=1.5, alpha=0.75)
    if line.crossing in place:
        at = next((cell.mean for cell in shown if cell.length == line.crossing), None)
        if at is not None:
            axes.plot([place[line.crossing] + shift], [at], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=colour,
                      markeredgewidth=1.4, clip_on=False, zorder=4)
