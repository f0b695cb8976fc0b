"""Noise margin by length: how strong a needle each KV dtype needs, and how much of it is the engine's noise."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt

from niah.report import style
from niah.report.settings import ReportSettings
from niah.stats.noise_margin import EXACT, Threshold
from niah.units import format_length


def draw(found: Sequence[Threshold], engine: str, folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes margin.<format>: left the score needed, from half of the trials to all, right what is above exact arithmetic."""
    lengths = sorted({one.length for one in found})
    names = list(dict.fromkeys(one.dtype for one in found))
    exact = {one.length: one.all for one in found if one.dtype == EXACT}
    with plt.rc_context({**style.STYLE, "axes.spines.left": True, "axes.spines.bottom": True}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(3.2 + 1.0 * max(len(lengths), 5), 3.8), layout="constrained")
        for number, name in enumerate(names):
            own = {one.length: one for one in found if one.dtype == name and one.half is not None}
            shift = 0.07 * (number - (len(names) - 1) / 2)
            x = [lengths.index(length) + shift for length in own]
            half = [one.half for one in own.values()]
            colour = style.INK if name == EXACT else style.LINES[(number - 1) % len(style.LINES)]
            look = {"color": colour, "marker": style.MARKS[number % len(style.MARKS)], "markersize": 4.5, "linewidth": 1.6}
            if name == EXACT:
                look |= {"linestyle": "--", "marker": "x"}
            label = "exact arithmetic (float64)" if name == EXACT else f"KV {name}"
            left.plot(x, half, label=label, **look)
            up = [max(0.0, (one.all if one.all is not None else one.half) - one.half) for one in own.values()]
            left.errorbar(x, half, yerr=[[0] * len(x), up], fmt="none", ecolor=colour, elinewidth=0.9, capsize=2.5)
            for place, one in zip(x, own.values(), strict=True):
                if one.all is None:
                    left.annotate("never all", (place, one.half), (0, 7), textcoords="offset points", color=colour, fontsize=7, ha="center")
            if name != EXACT:
                known = {length: one.all - exact[length] for length, one in own.items() if None not in (one.all, exact.get(length))}
                right.plot([lengths.index(length) + shift for length in known], [*known.values()], label=label, **look)
        right.axhline(0, color=style.INK, linewidth=1.2, linestyle="--")
        for axes in (left, right):
            axes.set_xticks(range(len(lengths)), [format_length(length) for length in lengths])
            axes.set_xlim(-0.4, len(lengths) - 0.6)
            axes.set_xlabel("length (tokens, prompt and answer)")
            axes.grid(axis="y", color=style.GREY, linewidth=0.8)
            axes.set_axisbelow(True)
        left.set_ylabel("needle's score (nats)")
        right.set_ylabel("above exact arithmetic (nats)")
        left.set_title("Score needed to find it\nmark: half of the trials, bar up to all", loc="left", fontsize=9)
        right.set_title("Noise margin\nwhat rounding costs, for all trials to be found", loc="left", fontsize=9)
        left.legend(frameon=False, fontsize=7.5, loc="upper left")
        low, high = left.get_ylim()
        left.set_ylim(low, high + 0.28 * (high - low))  # room for the legend
        figure.suptitle(f"calibration/margin, engine {engine}", x=0.01, ha="left", fontsize=11, fontweight="bold")
        return style.save(figure, folder, "margin", settings)
