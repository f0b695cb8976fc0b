"""A comparison in words: the table, and one sentence that says what was found and how sure it is."""

import math
from collections.abc import Callable, Sequence
from itertools import takewhile

from niah.report.text_table import aligned
from niah.stats import two_samples
from niah.stats.comparison import MIN_REPEATS, Comparison, Difference
from niah.stats.power import GOALS, Resolution
from niah.stats.signflip import smallest_p
from niah.stats.significance import NONZERO, picked_confidence
from niah.units import format_length

_HEAD = 16
Pooled = Callable[[tuple[int, ...], float], Difference]
"""The difference over some lengths together, at a confidence (0 to 1)."""


def table(found: Comparison, base: str, other: str, confidence: float) -> list[str]:
    """One line a length and one for all; points are hundredths of accuracy."""
    interval = f"difference [{confidence:.0%}], points"
    counts = ["lost", "gained", "McNemar p"] if found.is_paired else []
    unit = "pairs" if found.is_paired else "trials"
    rows = [["length", unit, *_heads(base, other), interval, *counts, "p", "Holm p"]]
    for d in (*found.lengths, found.overall):
        counts = [str(d.num_lost), str(d.num_gained), p_text(d.mcnemar_p)] if found.is_paired else []
        rows.append([
            "all" if d is found.overall else format_length(d.lengths[0]), str(d.num_pairs), f"{d.base:.3f}",
            f"{d.other:.3f}", span(d), *counts, p_text(d.p), p_text(d.adjusted_p),
        ])
    return aligned(rows, [8, 6, 16, 16, 28, *([4, 6, 9] if found.is_paired else []), 7, 7])


def _heads(base: str, other: str) -> tuple[str, str]:
    """Two names in 16 characters each: of longer ones, where they begin alike, what is behind that."""
    num_alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(base, other, strict=False)))
    start = base[:num_alike].rfind("-") + 1 if max(len(base), len(other)) > _HEAD else 0
    first, second = (f"{'…' if start else ''}{name[start:]}"[:_HEAD] for name in (base, other))
    return first, second


def is_open(found: Comparison, confidence: float) -> bool:
    """A test was made and found nothing, overall and at every length: what could it have found?"""
    differences = (found.overall, *found.lengths)
    return found.overall.has_test and not any(one.is_significant(confidence) for one in differences)


def resolved(found: Resolution) -> str:
    """What could have been found, and with how many repeats more would be."""
    if found.loss is None:
        text = "with 80% it would have found no loss, however large"
    else:
        text = f"a loss of {_ceiling(found.loss)} points or more would have been found with 80%"
    needed = [
        f"{100 * goal:g} points need {f'ctx.repeats={repeats}' if repeats else f'more than {found.most} repeats'}"
        for goal, repeats in zip(GOALS, found.repeats, strict=True)
    ]
    return f"{text} ({', '.join(needed)})"


def sentence(
    found: Comparison, base: str, other: str, pooled: Pooled, confidence: float, margin: float,
    resolution: Resolution | None = None,
) -> str:
    """What was found, in plain words. ``resolution`` stands beside "no significant difference".

    Lengths named for their loss were picked after looking, so their interval is wider than the table's: 1 - alpha x
    picked / all lengths (Benjamini and Yekutieli 2005, JASA 100, false coverage rate). The bound for the other lengths
    is the lower end of the plain interval, which alone has half the error that the sentence claims.
    """
    overall = found.overall
    if not overall.has_test and not any(d.has_test for d in found.lengths):
        return f"{_no_verdict(found, base, other)}."
    text, is_loss = _change(found, base, other, pooled, confidence)
    if resolution:
        text += f"; {resolved(resolution)}"
    if found.lengths and all(d.is_noninferior(margin) for d in found.lengths):
        text += f"; not worse by {_number(margin)} points or more at any length"
    elif is_loss:
        pass  # the loss is the news
    elif overall.is_noninferior(margin):
        text += f"; not worse by {_number(margin)} points or more overall, which not every length shows"
    else:
        text += f"; a loss of {_number(margin)} points cannot be ruled out"
    return f"{text}."


def _change(found: Comparison, base: str, other: str, pooled: Pooled, confidence: float) -> tuple[str, bool]:
    """What was lost and gained, and what is ruled out elsewhere; whether a loss at some length is part of it."""
    parts, is_loss = [], False
    for verb, sign in (("loses", -1), ("gains", 1)):
        lengths = tuple(d.lengths[0] for d in found.lengths if sign * d.difference > 0 and d.is_significant(confidence))
        if lengths:
            d = pooled(lengths, picked_confidence(confidence, len(lengths), len(found.lengths)))
            parts.append(f"{verb} {_points(d, sign)} at {named(lengths, [x.lengths[0] for x in found.lengths])}")
            is_loss |= sign < 0
    hit = {d.lengths[0] for d in found.lengths if d.is_significant(confidence)}
    rest = tuple(d.lengths[0] for d in found.lengths if d.lengths[0] not in hit)
    overall, sure = found.overall, f"with {confidence:.0%} confidence"
    change = ""
    if overall.is_significant(confidence):
        verb, sign = ("loses", -1) if overall.difference < 0 else ("gains", 1)
        change = f"{verb} {_points(overall, sign)} over all lengths together"
    if parts:
        if change and not any(part.startswith(verb) for part in parts):
            parts.append(change)
            is_loss |= sign < 0
        text = f"{other} {' and '.join(parts)}"
        if rest:
            where = f"{_elsewhere(rest, hit)}{', taken together,' if len(rest) > 1 else ''}"
            text += f"; {where} {_bound(pooled(rest, confidence))} {sure}"
        return text, is_loss
    if change:
        alone = "; no single length shows it" if len(found.lengths) > 1 else ""
        return f"{other} {change}{alone}", False
    return (
        f"No significant difference: {other} is {span(overall)} points from {base}; {_bound(overall)} {sure}", False
    )


def _no_verdict(found: Comparison, base: str, other: str) -> str:
    """Why there is none, and from when on there is one."""
    overall = found.overall
    repeats = f"{overall.num_repeats} repeat{'s' if overall.num_repeats > 1 else ''}"
    if found.is_paired:
        why, first = f"{repeats} is one needle in one text, which says nothing about others", MIN_REPEATS
    else:
        why, first = f"{repeats} of unequal prompts tell runs and prompts apart no more", two_samples.MIN_REPEATS
    return (
        f"No verdict: {why}; {other} is {span(overall)} points from {base}; from ctx.repeats={first} on there is a test"
    )


def caveats(found: Comparison, confidence: float) -> list[str]:
    """What limits the conclusion: few repeats, no pairs, tests that take trials as independent."""
    repeats, num_lengths = found.overall.num_repeats, len(found.lengths)
    if not found.is_paired:
        if found.overall.has_test:
            return []
        return [
            f"{repeats} repeat{'s' if repeats > 1 else ''} of runs that are not paired: no test, "
            f"ctx.repeats={two_samples.MIN_REPEATS} or more in both has one"
        ]
    if found.overall.num_pairs <= repeats and repeats > 1:  # one pair in each: there is nothing that pairs share
        return []
    if repeats == 1:
        return [
            "1 repeat: everything is about one needle in one text, so there is no test, and the interval takes its "
            f"trials to be worth two at most; ctx.repeats={MIN_REPEATS} or more says something about others"
        ]
    if repeats < MIN_REPEATS:
        return [
            f"{repeats} repeats: p is that of a cautious test, which misses much; ctx.repeats={MIN_REPEATS} or more "
            "finds more"
        ]
    needed = next(r for r in range(MIN_REPEATS, 99) if smallest_p(r) * num_lengths <= 1 - confidence)
    if repeats >= needed:
        return []
    return [
        f"{repeats} repeats: no single length can be significant among {num_lengths} (Holm); "
        f"from {needed} repeats on it can"
    ]


def span(d: Difference) -> str:
    return f"{_signed(d.difference)} [{_end(d.low)}, {_end(d.high)}]"


def _end(value: float) -> str:
    """An end of an interval whose test has left 0 out says so."""
    if 0 < abs(value) <= NONZERO:
        return ">0" if value > 0 else "<0"
    return _signed(value)


def _points(d: Difference, sign: int) -> str:
    ends = sorted((sign * d.low, sign * d.high))
    least = ">0" if 0 < ends[0] <= NONZERO else _number(ends[0])
    return f"{_number(abs(d.difference))} points [{least}, {_number(ends[1])}]"


def _bound(d: Difference) -> str:
    if d.low <= -0.999:
        return "no loss is ruled out"
    return f"it loses less than {_ceiling(-d.low)} points" if d.low < 0 else "it loses nothing"


def _ceiling(value: float) -> str:
    """Rounded up: "less than 0.8" must not say less than the interval does."""
    return f"{math.ceil(1000 * value - 1e-9) / 10:.1f}"


def named(lengths: Sequence[int], ladder: Sequence[int]) -> str:
    if len(lengths) == len(ladder):
        return "every length" if len(ladder) > 1 else format_length(lengths[0])
    if len(lengths) > 1 and list(lengths) == list(ladder[-len(lengths):]):
        return f"{format_length(lengths[0])} and above"
    if len(lengths) > 1 and list(lengths) == list(ladder[: len(lengths)]):
        return f"{format_length(lengths[-1])} and below"
    return ", ".join(map(format_length, lengths))


def _elsewhere(rest: Sequence[int], hit: set[int]) -> str:
    return "below" if max(rest) < min(hit) else "above" if min(rest) > max(hit) else "at the other lengths"


def _signed(value: float) -> str:
    return f"{100 * value + 0.0:+.1f}"


def _number(value: float) -> str:
    return f"{100 * value + 0.0:.1f}"


def p_text(value: float) -> str:
    return "-" if math.isnan(value) else "<0.0001" if value < 0.0001 else f"{value:.4f}"
