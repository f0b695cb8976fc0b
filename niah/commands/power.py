"""The verb ``power``: what a planned grid can detect, before anything runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from niah import config
from niah.commands import hydra
from niah.commands.compare.pairs import CompareSettings, answers, pairs, sides
from niah.commands.words import changes
from niah.errors import NiahError
from niah.grid import Ladder
from niah.limits import check, limited
from niah.report.text_table import aligned
from niah.stats import clusters
from niah.stats.comparison import MIN_REPEATS
from niah.stats.margins import Margins, PilotMargins, of_pilot
from niah.stats.power import (
    MAX_REPEATS,
    Assumptions,
    detectable,
    latent_correlation,
    least,
    power,
    power_of_means,
    repeats_for,
    repeats_for_means,
)
from niah.terminal import say
from niah.units import format_count

_LOSSES = (0.01, 0.02, 0.05, 0.1, 0.2)
_EXAMPLE = 0.1
"""The loss whose fall in nats is told."""
_LEAST_DISCORDANT = 0.001
"""Where no pair is to differ by chance: the log-probability never stays quite the same."""
_GRADED = "log-probability"
_POINTS = "0.05 for 5 points"


def main(words: list[str]) -> int:
    """Exit code of ``power WORDS [power.key=...]``."""
    own = [word for word in words if word.startswith("power.")]

    def show(composed: Any) -> int:
        run = config.build(composed)
        say(*lines(run.ctx, own, run.task.has_depth))
        return 0

    return hydra.run(hydra.adapted([word for word in words if word not in own]), show)


def _share(default: float | None, below: float) -> Any:
    expected = f"a share above 0 and below {below:g}"
    return limited(default, above=0, below=below, expected=expected, example=_POINTS)


@dataclass(frozen=True)
class PowerSettings:
    """Shares from 0 to 1. ``source`` (power.from) is a pilot: one folder with variants, or two as A,B."""

    difference: float | None = _share(None, below=1)
    alpha: float = _share(0.05, below=0.5)
    power: float = _share(0.8, below=1)
    baseline: float = _share(0.9, below=1)
    discordant: float = limited(0.02, at_least=0, below=1)
    correlation: float = limited(0.3, at_least=0, below=1)
    source: str | None = None

    def __post_init__(self) -> None:
        check(self, "power")
        if self.discordant / 2 > 1 - self.baseline + 1e-12:
            raise NiahError(
                f"power.discordant: half of {self.discordant:g} would be gained, but only {1 - self.baseline:g} is "
                "wrong in the baseline; expected less, or a lower power.baseline"
            )
        if self.difference is not None and self.difference + self.discordant / 2 > self.baseline:
            raise NiahError(
                f"power.difference: got {self.difference:g}; expected less than the baseline of {self.baseline:g} can "
                "lose"
            )


@dataclass(frozen=True)
class Planned:
    """What is assumed: of right and wrong, and of the log-probability behind it (None where a pilot has too little);
    where it comes from in ``words``."""

    scores: Assumptions
    graded: Margins | PilotMargins | None
    words: tuple[str, ...]


def planned(settings: PowerSettings) -> Planned:
    """From the settings, or from the pilot that they name."""
    if settings.source is not None:
        return _of_pilot(settings, settings.source)
    text = (
        f"assumed: {settings.discordant:.1%} of pairs differ by chance (power.discordant), correlation "
        f"{settings.correlation:.2f} within a repeat (power.correlation); power.from=outputs/NAME takes both from a "
        "pilot"
    )
    graded = (
        "log-probability: assumed to be what decides about right and wrong; a pilot that measured it says how it moves"
    )
    margins = Margins(settings.baseline, max(settings.discordant, _LEAST_DISCORDANT), settings.correlation)
    return Planned(Assumptions(settings.discordant, settings.correlation), margins, (text, graded))


def _of_pilot(settings: PowerSettings, source: str) -> Planned:
    """The same from two runs that were made; the correlation is that of the settings where the pilot shows none."""
    found, _ = sides(source.split(","), CompareSettings())
    pair = pairs(found, CompareSettings(across="model"))[0]
    a, b = answers(pair.a), answers(pair.b)
    shift = b.score - a.score
    lost, gained = float((shift < 0).mean()), float((shift > 0).mean())
    names, labels = np.unique(a.repeat, return_inverse=True)
    sums, sizes = clusters.clustered(labels, shift, len(names))
    effect = float(clusters.design_effect(sums, sizes, (shift**2).sum()))
    per_repeat = float((sizes**2).sum() / sizes.sum())
    correlation, note = settings.correlation, " assumed, as it shows none"
    if np.isfinite(effect) and len(names) >= 3 and per_repeat > 1:
        correlation, note = latent_correlation(lost, gained, (effect - 1) / (per_repeat - 1)), ""
    discordant = max(2 * min(lost, gained), 1 / len(shift))
    text = (
        f"from {source}: {len(shift)} pairs, {lost:.1%} lost and {gained:.1%} gained, so {discordant:.1%} taken to "
        f"differ by chance; correlation {correlation:.2f} within a repeat{note}"
    )
    graded = of_pilot(a.score, a.logprob, b.logprob, a.repeat)
    return Planned(Assumptions(discordant, correlation), graded, (text, _graded_words(graded)))


def _graded_words(found: PilotMargins | None) -> str:
    if found is None:
        return (
            "log-probability: the pilot says nothing of it; expected it measured in both runs, 3 repeats or more, and "
            "in the baseline right answers as well as wrong ones"
        )
    return (
        f"log-probability: a loss of {100 * _EXAMPLE:g} points is a fall of {found.fall(_EXAMPLE):.2f} nats at the "
        "baseline's margins; how much repeats and their trials differ in it is the pilot's"
    )


def lines(grid: Ladder, words: Sequence[str], has_depth: bool = True) -> list[str]:
    """What to print for this grid and these ``power.key=value`` words."""
    changed = changes("power", [word.replace("power.from=", "power.source=", 1) for word in words], ("power",))
    settings: PowerSettings = config.typed("power", PowerSettings, changed.get("power", {}))[0]
    assumed = planned(settings)
    lengths, depths = len(set(grid.lengths)), len(set(grid.depths)) if has_depth else 1
    cases = [("all lengths together", lengths * depths, settings.alpha)]
    if lengths > 1:
        cases.append((f"one length, Holm over {lengths}", depths, settings.alpha / lengths))
    return [
        f"grid: {format_count(lengths, 'length')} x {format_count(depths, 'depth')} x "
        f"{format_count(grid.repeats, 'repeat')} = {format_count(lengths * depths * grid.repeats, 'pair')}; "
        f"compare's test at {settings.alpha:g}, two-sided",
        *assumed.words,
        *_note(grid.repeats),
        *_table(cases, grid.repeats, assumed, settings),
        *_needed(cases, assumed, settings),
    ]


def _note(repeats: int) -> list[str]:
    if repeats == 1:
        return [
            f"note: with 1 repeat compare knows one needle in one text and gives no verdict; ctx.repeats={MIN_REPEATS} "
            "or more has one"
        ]
    if repeats < MIN_REPEATS:
        return [
            f"note: below {MIN_REPEATS} repeats compare's test is a conservative one; ctx.repeats={MIN_REPEATS} or "
            "more finds far more"
        ]
    return []


Case = tuple[str, int, float]
"""What is tested: its name, its trials in each repeat, and the level of its test."""


def _table(cases: Sequence[Case], repeats: int, assumed: Planned, settings: PowerSettings) -> list[str]:
    """How often a loss of so many points is found, and the smallest that is found often enough."""
    losses = sorted({*_LOSSES, *([settings.difference] if settings.difference else [])})
    losses = [loss for loss in losses if loss + assumed.scores.discordant / 2 <= settings.baseline]
    rows = [["a loss of, points", *(f"{100 * loss:.1f}" for loss in losses), f"found at {settings.power:.0%}"]]
    for name, trials, alpha in cases:
        smallest = detectable(repeats, trials, assumed.scores, alpha, settings.power)
        found = [power(loss, repeats, trials, assumed.scores, alpha) for loss in losses]
        rows.append(_row(name, found, smallest, settings))
    if graded := assumed.graded:
        for name, trials, alpha in cases:
            power_at = partial(_graded_power, graded, repeats, trials, alpha)
            smallest = _smallest(power_at, graded.most, settings.power)
            rows.append(_row(f"{_GRADED}, {name}", [power_at(loss) for loss in losses], smallest, settings))
    return aligned(rows, [48, *[8] * len(losses), 16], gap="")


def _smallest(power_at: Callable[..., float], most: float, wanted: float) -> float | None:
    return least(lambda loss: power_at(loss, runs=1000) >= wanted, most)


def _graded_power(
    graded: Margins | PilotMargins, repeats: int, trials: int, alpha: float, loss: float, runs: int = 2000
) -> float:
    return power_of_means(graded.means(loss, trials), repeats, alpha, runs)


def _row(name: str, found: Sequence[float], smallest: float | None, settings: PowerSettings) -> list[str]:
    is_found = smallest is not None and smallest <= settings.baseline
    return [name, *(f"{one:.0%}" for one in found), f"{100 * (smallest or 0.0):.1f} points" if is_found else "nothing"]


def _needed(cases: Sequence[Case], assumed: Planned, settings: PowerSettings) -> list[str]:
    """How many repeats find the loss that was asked for, by right and wrong and by the log-probability."""
    if not (loss := settings.difference):
        return []
    found = f"to find a loss of {100 * loss:.1f} points with {settings.power:.0%}"
    needed = [
        (name, repeats_for(loss, trials, assumed.scores, alpha, settings.power)) for name, trials, alpha in cases
    ]
    if graded := assumed.graded:
        needed += [
            (f"{_GRADED}, {name}", repeats_for_means(graded.means(loss, trials), alpha, settings.power))
            for name, trials, alpha in cases
        ]
    return [
        f"{found}, {name}: {f'ctx.repeats={repeats}' if repeats else f'more than {MAX_REPEATS} repeats'}"
        for name, repeats in needed
    ]
