"""Noise margin by length: how strong a needle each KV dtype needs, and how much of it is the engine's noise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from niah.report import line_chart, style
from niah.report.settings import ReportSettings
from niah.stats.noise_margin import EXACT, Threshold


def draw(found: Sequence[Threshold], engine: str, folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes margin.<format>: left the score needed, from half of the trials to all, right what is above exact
    arithmetic."""
    lengths = sorted({one.length for one in found})
    names = list(dict.fromkeys(one.dtype for one in found))
    exact = {one.length: one for one in found if one.dtype == EXACT}
    with style.figure_style(settings.font):
        size = (3.2 + 1.0 * max(len(lengths), 5), 3.8)
        figure, (left, right) = style.subplots(1, 2, figsize=size)
        for number, name in enumerate(names):
            shift = 0.07 * (number - (len(names) - 1) / 2)
            place = {length: step + shift for step, length in enumerate(lengths)}
            own = [one for one in found if one.dtype == name]
            look = _look(name, number)
            _scores(left, own, place, look)
            if name != EXACT:
                _margins(right, own, exact, place, look)
        right.axhline(0, color=style.INK, linewidth=1.2, linestyle="--")
        for axes in (left, right):
            line_chart.length_axis(axes, lengths, "length (tokens, prompt and answer)")
            axes.grid(axis="y", color=style.GREY, linewidth=0.8)
            axes.set_axisbelow(True)
        left.set_ylabel("needle's score (nats)")
        right.set_ylabel("above exact arithmetic (nats)")
        left.set_title("Score needed to find it\nmark: half of the trials, bar up to all", loc="left", fontsize=9)
        right.set_title("Noise margin\nwhat rounding costs, for all trials to be found", loc="left", fontsize=9)
        left.legend(frameon=False, fontsize=7.5, loc="upper left")
        low, high = left.get_ylim()
        left.set_ylim(low, high + 0.28 * (high - low))  # room for the legend
        style.title(figure, f"calibration/margin, engine {engine}", size=11, x=0.01)
        style.made_up(figure, [engine])
        return style.save(figure, folder, "margin", settings)


def _look(name: str, number: int) -> dict[str, Any]:
    """Of the line of one KV dtype, the same in both panels; exact arithmetic comes first."""
    common = {"markersize": 4.5, "linewidth": 1.6}
    if name == EXACT:
        label = "exact arithmetic (float64)"
        return {"color": style.INK, "marker": "x", "linestyle": "--", "label": label, **common}
    colour, mark = style.LINES[(number - 1) % len(style.LINES)], style.MARKS[number % len(style.MARKS)]
    return {"color": colour, "marker": mark, "label": f"KV {name}", **common}


def _scores(axes: Axes, own: Sequence[Threshold], place: Mapping[int, float], look: Mapping[str, Any]) -> None:
    points = [(place[one.length], one.half, one.all) for one in own if one.half is not None]
    x, half = [at for at, _, _ in points], [low for _, low, _ in points]
    axes.plot(x, half, **look)
    up = [0.0 if whole is None else max(0.0, whole - low) for _, low, whole in points]
    colour = look["color"]
    axes.errorbar(x, half, yerr=[[0.0] * len(x), up], fmt="none", ecolor=colour, elinewidth=0.9, capsize=2.5)
    for at, low, whole in points:
        if whole is None:
            axes.annotate(
                "never all", (at, low), (0, 7), textcoords="offset points", color=colour, fontsize=7, ha="center"
            )


def _margins(
    axes: Axes, own: Sequence[Threshold], exact: Mapping[int, Threshold], place: Mapping[int, float],
    look: Mapping[str, Any],
) -> None:
    known = {one.length: one.above(exact.get(one.length)) for one in own if one.half is not None}
    points = [(place[length], margin) for length, margin in known.items() if margin is not None]
    axes.plot([at for at, _ in points], [margin for _, margin in points], **look)
