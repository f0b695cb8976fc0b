"""A comparison in words: the table, and one sentence that says what was found and how sure it is."""

import math
from collections.abc import Callable, Sequence

from niah.stats.comparison import MIN_REPEATS, Comparison, Difference
from niah.stats.signal import Signal
from niah.stats.signflip import smallest_p
from niah.units import format_length

Pooled = Callable[[tuple[int, ...], float], Difference]
"""The difference over some lengths together, at a confidence (0 to 1)."""


def table(found: Comparison, base: str, other: str, confidence: float) -> list[str]:
    """One line a length and one for all; points are hundredths of accuracy."""
    columns = f"{base[:16]:>16}  {other[:16]:>16}"
    interval = f"difference [{confidence:.0%}], points"
    lost = "  lost  gained  McNemar p" if found.is_paired else ""
    lines = [f"{'length':>8}  {'pairs' if found.is_paired else 'trials':>6}  {columns}  {interval:>28}{lost}  {'p':>7}  {'Holm p':>7}"]
    for d in (*found.lengths, found.overall):
        name = "all" if d is found.overall else format_length(d.lengths[0])
        lost = f"  {d.num_lost:>4}  {d.num_gained:>6}  {_p(d.mcnemar_p):>9}" if found.is_paired else ""
        lines.append(
            f"{name:>8}  {d.num_pairs:>6}  {d.base:>16.3f}  {d.other:>16.3f}  {span(d):>28}{lost}  {_p(d.p):>7}  {_p(d.adjusted_p):>7}"
        )
    return lines


def signal_table(found: Comparison, confidence: float) -> list[str]:
    """The graded signal, where both runs measured it."""
    if not found.signal:
        return []
    lines = [f"{'length':>8}  {'pairs':>6}  {f'log-probability of the answer, difference [{confidence:.0%}], nats':>66}  {'p':>7}  test"]
    for s in (*found.signal_lengths, found.signal):
        name = "all" if s is found.signal else format_length(s.lengths[0])
        lines.append(f"{name:>8}  {s.num_pairs:>6}  {_nats(s):>66}  {_p(s.p):>7}  {s.test}")
    return lines


def sentence(found: Comparison, base: str, other: str, pooled: Pooled, confidence: float, margin: float) -> str:
    """What was found, in plain words.

    Lengths named for their loss were picked after looking, so their interval is wider than the table's: 1 - alpha x picked /
    all lengths (Benjamini and Yekutieli 2005, JASA 100, false coverage rate). The bound for the other lengths is the lower end of
    the plain interval, which alone has half the error that the sentence claims.
    """
    parts = []
    for verb, sign in (("loses", -1), ("gains", 1)):
        lengths = tuple(d.lengths[0] for d in found.lengths if sign * d.difference > 0 and d.is_significant(confidence))
        if lengths:
            d = pooled(lengths, 1 - (1 - confidence) * len(lengths) / len(found.lengths))
            parts.append(f"{verb} {_points(d, sign)} at {_named(lengths, [x.lengths[0] for x in found.lengths])}")
    hit = {d.lengths[0] for d in found.lengths if d.is_significant(confidence)}
    rest = tuple(d.lengths[0] for d in found.lengths if d.lengths[0] not in hit)
    overall = found.overall
    if parts:
        text = f"{other} {' and '.join(parts)}"
        if rest:
            text += f"; {_elsewhere(rest, hit)}{', taken together,' if len(rest) > 1 else ''} {_bound(pooled(rest, confidence))} with {confidence:.0%} confidence"
    elif overall.is_significant(confidence):
        sign = -1 if overall.difference < 0 else 1
        text = f"{other} {'loses' if sign < 0 else 'gains'} {_points(overall, sign)} over all lengths together; no single length shows it"
    else:
        text = f"No significant difference: {other} is {span(overall)} points from {base}; {_bound(overall)} with {confidence:.0%} confidence"
    is_loss = any(" loses " in f" {part}" for part in parts)
    if found.lengths and all(d.is_noninferior(margin) for d in found.lengths):
        text += f"; not worse by {_number(margin)} points or more at any length"
    elif is_loss:
        pass  # the loss is the news
    elif overall.is_noninferior(margin):
        text += f"; not worse by {_number(margin)} points or more overall, which not every length shows"
    else:
        text += f"; a loss of {_number(margin)} points cannot be ruled out"
    return f"{text}."


def caveats(found: Comparison, confidence: float) -> list[str]:
    """What limits the conclusion: few repeats, no pairs, tests that take trials as independent."""
    d, notes = found.overall, []
    if not found.is_paired:
        if d.decided_by == "Fisher":
            notes.append(f"p is Fisher's and takes trials as independent: with {d.num_repeats} repeats nothing better is possible")
        return notes
    several = d.num_pairs > d.num_repeats
    if d.num_repeats == 1 and several:
        notes.append(
            "1 repeat: everything is about one needle in one text; test and interval take its trials as independent. "
            "ctx.repeats=6 or more says something about others"
        )
    elif d.num_repeats < MIN_REPEATS and several:
        notes.append(f"{d.num_repeats} repeats: p is that of a cautious test, which misses much; ctx.repeats={MIN_REPEATS} or more finds more")
    elif several:
        needed = next(r for r in range(MIN_REPEATS, 99) if smallest_p(r) * len(found.lengths) <= 1 - confidence)
        if d.num_repeats < needed:
            notes.append(
                f"{d.num_repeats} repeats: no single length can be significant among {len(found.lengths)} (Holm); from {needed} repeats on it can"
            )
    return notes


def span(d: Difference) -> str:
    return f"{_signed(d.difference)} [{_signed(d.low)}, {_signed(d.high)}]"


def _points(d: Difference, sign: int) -> str:
    ends = sorted((sign * d.low, sign * d.high))
    return f"{_number(abs(d.difference))} points [{_number(ends[0])}, {_number(ends[1])}]"


def _bound(d: Difference) -> str:
    if d.low <= -0.999:
        return "no loss is ruled out"
    return f"it loses less than {_ceiling(-d.low)} points" if d.low < 0 else "it loses nothing"


def _ceiling(value: float) -> str:
    """Rounded up: "less than 0.8" must not say less than the interval does."""
    return f"{math.ceil(1000 * value - 1e-9) / 10:.1f}"


def _named(lengths: Sequence[int], ladder: Sequence[int]) -> str:
    if len(lengths) == len(ladder):
        return "every length" if len(ladder) > 1 else format_length(lengths[0])
    if len(lengths) > 1 and list(lengths) == list(ladder[-len(lengths):]):
        return f"{format_length(lengths[0])} and above"
    if len(lengths) > 1 and list(lengths) == list(ladder[: len(lengths)]):
        return f"{format_length(lengths[-1])} and below"
    return ", ".join(map(format_length, lengths))


def _elsewhere(rest: Sequence[int], hit: set[int]) -> str:
    return "below" if max(rest) < min(hit) else "above" if min(rest) > max(hit) else "at the other lengths"


def _nats(s: Signal) -> str:
    return f"{s.mean:+.3f} [{s.low:+.3f}, {s.high:+.3f}]"


def _signed(value: float) -> str:
    return f"{100 * value + 0.0:+.1f}"


def _number(value: float) -> str:
    return f"{100 * value + 0.0:.1f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else "<0.0001" if value < 0.0001 else f"{value:.4f}"
