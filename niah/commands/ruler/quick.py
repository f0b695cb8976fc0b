"""``experiment=ruler_quick``: experiment=ruler with as many repeats as the wanted difference needs, its cost said
first."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from niah import config, planner
from niah.commands import hydra
from niah.commands.words import RULER_QUICK, own_settings
from niah.errors import NiahError
from niah.limits import check, limited, one_of
from niah.planner import machine
from niah.report.ruler_table import SAMPLES
from niah.runs import capacity
from niah.runs.variants import variants
from niah.stats import suite_power
from niah.stats.comparison import MIN_REPEATS
from niah.stats.power import FEW_REPEATS, Assumptions
from niah.tasks.ruler import SETTINGS
from niah.units import format_seconds

_DEPTHS = "[10,50,90]"
"""Percent; RULER draws depths evenly from 0 to 100."""
_WITHOUT_DEPTH = ("cwe", "fwe")
_ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class QuickSettings:
    """``difference``, points from 0 to 100, is the loss of the 13 settings' mean that is to be found with probability
    ``power``: over all lengths together, or ``at`` a single length after Holm. Between two equal runs the share
    ``discordant`` of pairs differs by chance, and ``correlation`` is that within a setting and repeat, as for
    ``power``."""

    difference: float = limited(10.0, above=0, at_most=90, expected="points above 0, up to 90", example="10")
    at: str = one_of("all", "length")
    power: float = limited(0.8, at_least=0.5, below=1, expected="a share from 0.5 and below 1", example="0.8")
    discordant: float = limited(0.05, above=0, at_most=0.1, expected="a share above 0, up to 0.1", example="0.05")
    correlation: float = limited(0.3, at_least=0, below=1)

    def __post_init__(self) -> None:
        check(self, "quick")


def expanded(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command with ``experiment=ruler_quick`` as those that Hydra knows, and what to say first. Other
    words stay as they are.

    Raises NiahError for a difference that takes too many repeats.
    """
    if RULER_QUICK not in words:
        return list(words), []
    settings, rest = own_settings("quick", QuickSettings, [word for word in words if word != RULER_QUICK])
    given = {word.lstrip("+").partition("=")[0] for word in rest}
    if "ctx.depths" not in given:
        rest.append(f"ctx.depths={_DEPTHS}")
    runs = _composed(["experiment=ruler/niah_single_1", *rest])
    repeats = runs[0].ctx.repeats if "ctx.repeats" in given else _repeats(runs[0], settings)
    result = ["experiment=ruler", *rest]
    if "ctx.repeats" not in given:
        result.append(f"ctx.repeats={repeats}")
    return result, _lines(runs, repeats, settings, result)


def _composed(words: Sequence[str]) -> list[config.Run]:
    """The run, or each of a sweep, of one of the settings; nothing is loaded."""
    found: list[config.Run] = []

    def collect(composed: Any) -> int:
        found.append(config.build(composed))
        return 0

    hydra.run(hydra.adapted(words), collect)
    return found


def _trials(run: config.Run, num_lengths: int) -> list[int]:
    """Of each setting in a repeat."""
    num_depths = len(set(run.ctx.depths))
    return [num_lengths * (1 if name in _WITHOUT_DEPTH else num_depths) for name in SETTINGS]


def _tests(run: config.Run) -> dict[str, tuple[list[int], float]]:
    """What is tested: each setting's trials in a repeat, and the level."""
    num_lengths = len(set(run.ctx.lengths))
    return {"all": (_trials(run, num_lengths), _ALPHA), "length": (_trials(run, 1), _ALPHA / num_lengths)}


def _repeats(run: config.Run, settings: QuickSettings) -> int:
    trials, alpha = _tests(run)[settings.at]
    needed = suite_power.repeats_for(settings.difference / 100, trials, _assumed(settings), alpha, settings.power)
    if needed is None:
        raise NiahError(
            f"quick.difference: {settings.difference:g} points take more than {FEW_REPEATS} repeats; expected a larger "
            "difference, or more depths"
        )
    return needed


def _assumed(settings: QuickSettings) -> Assumptions:
    return Assumptions(settings.discordant, settings.correlation)


def _lines(
    runs: Sequence[config.Run], repeats: int, settings: QuickSettings, words: Sequence[str]
) -> list[str]:
    run = runs[0]
    num_depths, num_lengths = len(set(run.ctx.depths)), len(set(run.ctx.lengths))
    return [
        f"ruler_quick: 13 settings, {num_lengths} lengths x {num_depths} depths x {repeats} repeats: "
        f"{repeats * num_depths} samples of a setting and length ({repeats} of cwe and fwe, which have no depth), "
        f"RULER has {SAMPLES}",
        f"a loss of {settings.difference:g} points in every setting is {_chance(run, repeats, settings)}, "
        f"assuming {settings.discordant:.0%} of pairs to differ by chance (quick.discordant), correlation "
        f"{settings.correlation:g} within a repeat (quick.correlation)",
        *_cost(runs, repeats),
        f"the same as: python -m niah {' '.join(words)}",
    ]


def _chance(run: config.Run, repeats: int, settings: QuickSettings) -> str:
    if repeats < MIN_REPEATS:
        return f"not promised to be found below {MIN_REPEATS} repeats"
    every, single = (
        suite_power.power(settings.difference / 100, repeats, trials, _assumed(settings), alpha)
        for trials, alpha in _tests(run).values()
    )
    num_lengths = len(set(run.ctx.lengths))
    if num_lengths == 1:
        return f"found with {every:.0%}"
    return f"found with {every:.0%} over all lengths, {single:.0%} at a single length (Holm over {num_lengths})"


def _cost(runs: Sequence[config.Run], repeats: int) -> list[str]:
    """Trials, prompt tokens and seconds of all settings, variants and runs of the sweep."""
    num_trials = num_tokens = 0
    for run in runs:
        a_length = repeats * len(variants(run)) * sum(_trials(run, 1))
        num_trials += a_length * len(set(run.ctx.lengths))
        num_tokens += a_length * sum(set(run.ctx.lengths))
    seconds = [_seconds(run, repeats) for run in runs]
    known = [one for one in seconds if one]
    time = (
        f"about {format_seconds(sum(known))} by plan's estimate, answers apart" if len(known) == len(seconds)
        else "time is not estimated for this engine and machine"
    )
    return [f"cost: {num_trials:,} trials of {num_tokens:,} tokens, less what prompts share; {time}"]


def _seconds(run: config.Run, repeats: int) -> float | None:
    """By the planner; None where it has no estimate."""
    wish = run.engine.wish()
    if wish is None or not run.reader.reads_all:
        return None
    try:
        known = capacity.known_hardware()
        hardware = capacity.share(machine.resolve(run.hardware, known), run)
        total = 0.0
        for depths, num_settings in ((run.ctx.depths, len(SETTINGS) - len(_WITHOUT_DEPTH)), ([0.0], 2)):
            ladder = dataclasses.replace(run.ctx, depths=list(depths), repeats=repeats)
            for variant in variants(run):
                made = planner.make(run.model, ladder, hardware, known, (variant.kv.dtype,), wish)
                total += num_settings * sum(sweep.seconds for sweep in made.sweeps.values())
    except NiahError:  # a model or machine that the planner does not know
        return None
    return total or None
