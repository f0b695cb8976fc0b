"""Which reader to take, in one sentence with its uncertainty, and what it costs a day."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from niah.report import rag_text, verdict
from niah.stats.cells import CellStats
from niah.stats.comparison import MIN_REPEATS, Comparison, Difference
from niah.stats.costs import Cost
from niah.stats.crossing import Crossing
from niah.stats.power import Resolution
from niah.units import format_length

FULL = "the whole context"


@dataclass(frozen=True)
class Option:
    """A reader that retrieves: ``cells`` and ``cost`` by length (0: those that all readers answer), ``against`` the
    whole context, None where they have no answered trial in common; ``better`` is from which length on."""

    label: str
    cells: dict[int, CellStats]
    cost: dict[int, Cost]
    against: Comparison | None
    better: Crossing | None = None
    resolution: Resolution | None = None


def sentence(
    options: Sequence[Option], floor: CellStats | None, unfit: Sequence[int], repeats: str, confidence: float,
    margin: float,
) -> str:
    """``floor`` is accuracy without any context, where it was measured, ``unfit`` are the lengths at which the whole
    context has no room, ``repeats`` what a repeat is called."""
    compared = [one for one in options if one.against is not None]
    if not compared:
        return f"advice: none, as no reader that retrieves has an answered trial in common with {FULL}."
    text = _choice(compared, repeats, confidence, margin)
    if beyond := _beyond(options, unfit):
        text += f"; {beyond}"
    if floor is not None and floor.n:
        text += f"; without any context {rag_text.interval(floor)}"
    return f"advice: {text}."


def _choice(options: Sequence[Option], repeats: str, confidence: float, margin: float) -> str:
    """What the tests allow to say: better, not worse, worse, or nothing."""
    tested = [one for one in options if _overall(one).has_test and _overall(one).num_repeats >= MIN_REPEATS]
    if not tested:
        num = _overall(options[0]).num_repeats
        return f"none yet, as {num} {repeats} are too few for a test; expected at least {MIN_REPEATS}"
    shown = [one for one in tested if _overall(one).is_significant(confidence)]
    best = max(tested, key=lambda one: (_overall(one).difference, -one.cost[0].tokens))
    num, where = _overall(best).num_repeats, _span_of(best)
    if gains := [one for one in shown if _overall(one).difference > 0]:
        taken = max(gains, key=lambda one: (_overall(one).difference, -one.cost[0].tokens))
        since = f"; {rag_text.better(taken.better)}" if taken.better else ""
        return (
            f"take {taken.label}: {_points(taken)} against {FULL} {where}, from {num} {repeats}{since}; it reads "
            f"{_read(taken)} of the tokens"
        )
    if same := [one for one in tested if _overall(one).is_noninferior(margin)]:
        taken = min(same, key=lambda one: (one.cost[0].tokens, one.label))
        return (
            f"take {taken.label}: a loss of {100 * margin:g} points against {FULL} is ruled out {where} "
            f"({_points(taken)}, from {num} {repeats}), and it reads {_read(taken)} of the tokens"
        )
    if len(shown) == len(tested):
        return (
            f"take {FULL}: the best of the others, {best.label}, is {_points(best)} from it {where}, from {num} "
            f"{repeats}; that one reads {_read(best)} of the tokens"
        )
    loss = -100 * _overall(best).low
    text = (
        f"undecided: {best.label} is {_points(best)} from {FULL} {where}, from {num} {repeats}, so neither is shown to "
        "be better"
    )
    if best.resolution:
        text += f"; {verdict.resolved(best.resolution)}"
    return (
        f"{text}; {best.label} reads {_read(best)} of the tokens, which decides where a loss of up to {loss:.1f} "
        "points may be borne"
    )


def _overall(one: Option) -> Difference:
    assert one.against is not None, "options that are chosen from are compared"
    return one.against.overall


def _points(one: Option) -> str:
    return f"{verdict.span(_overall(one))} points"


def _read(one: Option) -> str:
    """The share of the tokens that it shows the model, over the lengths that all readers answer."""
    return rag_text.share(one.cost[0].share)


def _span_of(one: Option) -> str:
    lengths = _overall(one).lengths or tuple(length for length in one.cells if length)
    first, last = format_length(min(lengths)), format_length(max(lengths))
    return f"at {first}" if first == last else f"over {first} to {last}"


def _beyond(options: Sequence[Option], unfit: Sequence[int]) -> str:
    """Who answers best at the longest length where the whole context does not fit."""
    if not unfit:
        return ""
    longest = max(unfit)
    there = [one for one in options if longest in one.cells and one.cells[longest].n]
    if not there:
        return ""
    best = max(there, key=lambda one: one.cells[longest].mean)
    return (
        f"from {format_length(min(unfit))} on {FULL} does not fit, and {best.label} has "
        f"{rag_text.interval(best.cells[longest])} at {format_length(longest)}"
    )


def daily(costs: Sequence[tuple[str, Cost]], length: int, num_questions: int, hardware: str | None) -> str:
    """Tokens, and dollars where a machine has a price for them, of so many questions a day at a length."""
    parts = []
    for label, cost in costs:
        if cost.n:
            dollars = "" if math.isnan(cost.dollars) else f", {_money(num_questions * cost.dollars)}"
            parts.append(f"{label} {_count(num_questions * cost.tokens)} tokens{dollars}")
    is_priced = any(cost.n and not math.isnan(cost.dollars) for _, cost in costs)
    assumed = "no dollars, as no machine was named that has a price for this model"
    if is_priced:
        assumed = (
            f"dollars of {hardware} for the seconds that the plan reckons, prompts one at a time and none cached; "
            "answers, indexes and idle hours are not in them"
        )
    return f"{num_questions:,} questions a day at {format_length(length)}: {'; '.join(parts)} ({assumed})."


def _count(number: float) -> str:
    for least, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= least:
            return f"{number / least:.3g}{unit}"
    return f"{number:.0f}"


def _money(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars >= 0.01 else f"${dollars:.1g}"
