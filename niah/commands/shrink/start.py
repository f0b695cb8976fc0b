"""The trial as it was, asked again: does it fail each time, alone or after what came before it?"""

from collections.abc import Sequence
from dataclasses import replace

from niah import environment
from niah.commands.shrink.failure import WRONG, Answer, Criterion, Judge, criterion_of, shift_of
from niah.commands.shrink.pieces import pieces_of
from niah.commands.shrink.probes import Allowance, Prober
from niah.commands.shrink.settings import ShrinkSettings
from niah.commands.shrink.shape import Shape
from niah.commands.shrink.sides import Side
from niah.commands.shrink.trial import COLD, Failing
from niah.disk import Lines
from niah.errors import NiahError
from niah.records import Prompt
from niah.runs.console import Console
from niah.runs.record import fingerprint

_TIMES_TOLERANCE, _LEAST_TOLERANCE = 3.0, 0.05
"""A difference of log-probabilities counts from three times the largest that short prompts show on, and at least
this many nats: two engines round otherwise, and more so in longer prompts."""
_SHORT = (0, 16, 32, 48)
"""Tokens of filler of the prompts that the tolerance is measured with."""


def begun(
    trial: Failing, first: Side, second: Side | None, spend: Allowance, lines: Lines, console: Console
) -> tuple[Prober, Shape, int]:
    """Asks the trial as it was, alone and then after what came before it, until it fails each time; with it all that
    the search needs, the shape to begin with and how often it failed.

    Raises NiahError where it does not fail, or not each time.
    """
    asked, recipe, row = trial.asked, trial.recipe, trial.row
    is_cold = asked.against == COLD
    built = recipe.rebuild(row, trial.record.sources, asked.path)
    pieces = pieces_of(built.prompt, built.problem.num_needed, recipe.tokenizer)
    if not pieces.needles and not asked.against:
        raise NiahError(
            f"{trial.name}: task={recipe.run.task.name} has no needle, so nobody knows what of the text its answer "
            "needs; expected another task, or --against another engine or variant"
        )
    judge = Judge(recipe, built.problem)
    plain = Criterion(WRONG)
    prober = Prober(pieces, judge, first, second, is_cold, plain, lines, "", spend, console.note)
    most = min(asked.settings.earlier, len(trial.rows_before))
    counts = [*([] if is_cold else [0]), *(1 << k for k in range(most.bit_length()))]
    earlier: list[Prompt] = []
    for count in sorted({*(min(one, most) for one in counts), *([most] if most else [])}):
        if count and len(earlier) < count:
            earlier = [
                recipe.rebuild(one, trial.record.sources, asked.path).prompt for one in trial.rows_before[-count:]
            ]
        pairs = [prober.both(earlier, built.prompt, f"start-{count}-0")]
        tolerance = _tolerance(prober, asked.settings, is_cold, pairs[0])
        found = _criterion(pairs, tolerance)
        if found is None and count:
            _kept(prober, earlier, pairs)
            continue
        if second and pairs[0][0].score == 1 and pairs[0][1] and (pairs[0][1].score or 0.0) < 1:
            ways = f"; expected the other way round, as --variant {second.name} --against {first.name}"
            other = COLD if is_cold else f"{second.name}{ways}"
            raise NiahError(f"{trial.name}: is right under {first.name} and {pairs[0][1].outcome} under {other}")
        num = asked.settings.repeats
        pairs += [prober.both(earlier, built.prompt, f"start-{count}-{number}") for number in range(1, num)]
        fails = [_criterion([pair], tolerance) is not None for pair in pairs]
        if any(fails) and not all(fails):
            _kept(prober, earlier, pairs)
            raise NiahError(
                f"{trial.name}: flaky{f' after {count} requests' if count else ''}: it fails {sum(fails)} of {num} "
                "times; expected a failure each time; shrink.repeats asks more often"
            )
        if (found := _criterion(pairs, tolerance)) is None:
            _kept(prober, earlier, pairs)
            continue
        is_steady = len({(one.text, two and two.text) for one, two in pairs}) == 1
        pieces = replace(pieces, earlier=tuple(earlier))
        shape = replace(pieces.shape, earlier=tuple(len(one.ids) for one in earlier))
        mark = fingerprint({
            "run": trial.record.fingerprint, "trial": row.trial, "variant": row.variant, "against": asked.against,
            "kind": [found.kind, found.tolerance], "software": environment.decisive(), "engine": asked.changed,
            "prompt": built.prompt.sha256, "earlier": [one.sha256 for one in earlier], "times": 1 if is_steady else 2,
        })[:16]
        times, seconds = 1 if is_steady else 2, sum(one.seconds + (two.seconds if two else 0.0) for one, two in pairs)
        ready = Prober(pieces, judge, first, second, is_cold, found, lines, mark, spend, console.note, times)
        ready.keep(shape, "the trial", pairs, seconds)
        return ready, shape, num
    after = f", nor after up to {most} of the requests before it" if most else ""
    other = f" against {asked.against}" if asked.against else ""
    raise NiahError(
        f"{trial.name}: does not fail again{other}: 0 of {asked.settings.repeats} times{after}; expected a failure "
        "that comes again"
    )


def _kept(prober: Prober, earlier: Sequence[Prompt], pairs: Sequence[tuple[Answer, Answer | None]]) -> None:
    """The line of a trial that did not fail, or not each time."""
    pieces = replace(prober.pieces, earlier=tuple(earlier))
    shape = replace(pieces.shape, earlier=tuple(len(one.ids) for one in earlier))
    replace(prober, pieces=pieces).keep(shape, "the trial", pairs, 0.0)


def _criterion(pairs: Sequence[tuple[Answer, Answer | None]], tolerance: float | None) -> Criterion | None:
    """What fails in all of them."""
    first = [one for one, _ in pairs]
    second = [two for _, two in pairs if two is not None]
    if second:
        return criterion_of(first, second, tolerance)
    plain = Criterion(WRONG)
    return plain if all(plain.fails(one, None) for one in first) else None


def _tolerance(
    prober: Prober, settings: ShrinkSettings, is_cold: bool, pair: tuple[Answer, Answer | None]
) -> float | None:
    """Nats by which the two sides differ with nothing wrong, as far as short prompts show; None where log-probabilities
    are not looked at."""
    one, two = pair
    if two is None or is_cold or shift_of(one, two) is None:
        return None
    if settings.tolerance:
        return settings.tolerance
    shape = prober.pieces.shape
    shifts = []
    for size in _SHORT:
        small = replace(shape, gaps=(size, *(0,) * (len(shape.gaps) - 1)))
        found = prober.both([], prober.pieces.prompt(small), f"tolerance-{size}")
        if found[1] is not None and (shift := shift_of(found[0], found[1])) is not None:
            shifts.append(abs(shift))
    return max(_LEAST_TOLERANCE, _TIMES_TOLERANCE * max(shifts, default=0.0))
