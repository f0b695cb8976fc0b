"""The verb ``power``: what a planned grid can detect, before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from niah import config as configuration
from niah.commands import hydra
from niah.commands.compare.pairs import CompareSettings, answers, pairs, sides
from niah.commands.words import changes
from niah.errors import NiahError
from niah.grid import Ladder
from niah.stats import clusters
from niah.stats.comparison import MIN_REPEATS
from niah.stats.power import MAX_REPEATS, Assumptions, detectable, latent_correlation, power, repeats_for

_LOSSES = (0.01, 0.02, 0.05, 0.1, 0.2)


def main(words: list[str]) -> int:
    """Exit code of ``power WORDS [power.key=...]``."""
    own = [word for word in words if word.startswith("power.")]

    def show(config: Any) -> int:
        run = configuration.build(config)
        print(*lines(run.ctx, own, run.task.has_depth), sep="\n")
        return 0

    return hydra.run(hydra.adapted([word for word in words if word not in own]), show)


@dataclass(frozen=True)
class PowerSettings:
    """Shares from 0 to 1. ``source`` (power.from) is a pilot: one folder with variants, or two as A,B."""

    difference: float | None = None
    alpha: float = 0.05
    power: float = 0.8
    baseline: float = 0.9
    discordant: float = 0.02
    correlation: float = 0.3
    source: str | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("alpha", 0, 0.5), ("power", 0, 1), ("baseline", 0, 1), ("difference", 0, 1)):
            value = getattr(self, name)
            if value is not None and not low < value < high:
                raise NiahError(f"power.{name}: got {value:g}; expected a share above {low} and below {high:g}, as 0.05 for 5 points")
        for name in ("discordant", "correlation"):
            if not 0 <= getattr(self, name) < 1:
                raise NiahError(f"power.{name}: got {getattr(self, name):g}; expected 0 to below 1")
        if self.discordant / 2 > 1 - self.baseline + 1e-12:
            raise NiahError(
                f"power.discordant: half of {self.discordant:g} would be gained, but only {1 - self.baseline:g} is wrong in the baseline; "
                "expected less, or a lower power.baseline"
            )
        if self.difference is not None and self.difference + self.discordant / 2 > self.baseline:
            raise NiahError(f"power.difference: got {self.difference:g}; expected less than the baseline of {self.baseline:g} can lose")


def power_of(settings: PowerSettings) -> tuple[Assumptions, str]:
    """What is assumed, and where it comes from in words."""
    if settings.source is None:
        text = (
            f"assumed: {settings.discordant:.1%} of pairs differ by chance (power.discordant), correlation {settings.correlation:.2f} "
            "within a repeat (power.correlation); power.from=outputs/NAME takes both from a pilot"
        )
        return Assumptions(settings.discordant, settings.correlation), text
    found, _ = sides(settings.source.split(","), CompareSettings())
    pair = pairs(found, CompareSettings(across="model"))[0]
    a, b = answers(pair.a), answers(pair.b)
    shift = b.score - a.score
    lost, gained = float((shift < 0).mean()), float((shift > 0).mean())
    names, labels = np.unique(a.repeat, return_inverse=True)
    sums, sizes = clusters.clustered(labels, shift, len(names))
    effect = float(clusters.design_effect(sums, sizes, (shift**2).sum()))
    per_repeat = float((sizes**2).sum() / sizes.sum())
    if np.isfinite(effect) and len(names) >= 3 and per_repeat > 1:
        correlation = latent_correlation(lost, gained, (effect - 1) / (per_repeat - 1))
        origin = f"correlation {correlation:.2f} within a repeat"
    else:
        correlation, origin = settings.correlation, f"correlation {settings.correlation:.2f} within a repeat assumed, as it shows none"
    discordant = max(2 * min(lost, gained), 1 / len(shift))
    return Assumptions(discordant, correlation), (
        f"from {settings.source}: {len(shift)} pairs, {lost:.1%} lost and {gained:.1%} gained, so {discordant:.1%} taken to differ by chance; {origin}"
    )


def lines(grid: Ladder, words: Sequence[str], has_depth: bool = True) -> list[str]:
    """What to print for this grid and these ``power.key=value`` words."""
    changed = changes("power", [word.replace("power.from=", "power.source=", 1) for word in words], ("power",))
    settings, _ = configuration.typed("power", PowerSettings, changed.get("power", {}))
    assumed, origin = power_of(settings)
    lengths, depths, repeats = len(set(grid.lengths)), len(set(grid.depths)) if has_depth else 1, grid.repeats
    cases = [("all lengths together", lengths * depths, settings.alpha)]
    if lengths > 1:
        cases.append((f"one length, Holm over {lengths}", depths, settings.alpha / lengths))
    made = [
        f"grid: {lengths} lengths x {depths} depths x {repeats} repeats = {lengths * depths * repeats} pairs; compare's test at "
        f"{settings.alpha:g}, two-sided",
        origin,
    ]
    if repeats == 1:
        made.append("note: with 1 repeat compare speaks about one needle in one text, and takes its trials as independent")
    elif repeats < MIN_REPEATS:
        made.append(f"note: below {MIN_REPEATS} repeats compare's test is a conservative one; ctx.repeats={MIN_REPEATS} or more finds far more")
    losses = sorted({*_LOSSES, *([settings.difference] if settings.difference else [])})
    losses = [loss for loss in losses if loss + assumed.discordant / 2 <= settings.baseline]
    made.append(f"{'a loss of, points':>30}" + "".join(f"{100 * loss:>8.1f}" for loss in losses) + f"{f'found at {settings.power:.0%}':>16}")
    for name, trials, alpha in cases:
        cells = [f"{power(loss, repeats, trials, assumed, alpha):>8.0%}" for loss in losses]
        smallest = detectable(repeats, trials, assumed, alpha, settings.power)
        found = "nothing" if smallest is None or smallest > settings.baseline else f"{100 * smallest:.1f} points"
        made.append(f"{name:>30}{''.join(cells)}{found:>16}")
    if settings.difference:
        for name, trials, alpha in cases:
            needed = repeats_for(settings.difference, trials, assumed, alpha, settings.power)
            told = f"ctx.repeats={needed}" if needed else f"more than {MAX_REPEATS} repeats"
            made.append(f"to find a loss of {100 * settings.difference:.1f} points with {settings.power:.0%}, {name}: {told}")
    return made
