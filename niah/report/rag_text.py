"""RAG or the long context, in words: tables, and one sentence for each retrieving reader."""

import math
from collections.abc import Sequence

from niah.report import verdict
from niah.stats.cells import CellStats
from niah.stats.comparison import MIN_REPEATS, Comparison
from niah.stats.costs import Cost
from niah.stats.crossing import Crossing
from niah.stats.misses import Misses
from niah.units import format_length

_WIDE = 19


def accuracy(names: Sequence[str], cells: Sequence[dict[int, CellStats]], unfit: Sequence[Sequence[int]], lengths: Sequence[int], shared: Sequence[int]) -> list[str]:
    """A line a reader, a column a length; the last is over the lengths that all readers answer."""
    wide = max(map(len, names))
    last = f"{format_length(shared[0])} to {format_length(shared[-1])}" if len(shared) > 1 else ""
    heads = [*map(format_length, lengths), *([last] if last else [])]
    lines = [f"{'accuracy':<{wide}}" + "".join(f"{head:>{_WIDE}}" for head in heads)]
    for name, own, above in zip(names, cells, unfit, strict=True):
        told = ["does not fit" if length in above else interval(own.get(length)) for length in lengths] + ([interval(own.get(0))] if last else [])
        lines.append(f"{name:<{wide}}" + "".join(f"{one:>{_WIDE}}" for one in told))
    return lines


def misses(found: Sequence[tuple[str, dict[int, Misses]]], lengths: Sequence[int]) -> list[str]:
    """A line a reader: at each length retrieval misses + reading misses of answers."""
    wide = max((len(name) for name, _ in found), default=0)
    lines = [f"{'wrong: not retrieved + not read':<32}" + "".join(f"{head:>14}" for head in [*map(format_length, lengths), "all"])]
    for name, own in found:
        told = [f"{own[n].retrieval}+{own[n].reading} of {own[n].num_answers}" if n in own else "-" for n in (*lengths, 0)]
        total = own[0]
        detail = f"not retrieved: {total.missed} missed, {total.split} split"
        if total.right_without:
            detail += f"; {total.right_without} right without all needles"
        lines.append(f"{name:<{max(wide, 32)}}" + "".join(f"{one:>14}" for one in told) + f"   {detail}")
    return lines


def costs(found: Sequence[tuple[str, dict[int, Cost]]], lengths: Sequence[int], shared: Sequence[int], hardware: str | None) -> list[str]:
    """A line a reader and length: the longest one that all answer, then the longest of all."""
    wide = max(len(name) for name, _ in found)
    priced = f"$ per 1,000 on {hardware}" if hardware else ""
    chosen = list(dict.fromkeys(([shared[-1]] if shared else []) + [lengths[-1]]))
    lines = [
        f"{'cost':<{wide}}{'length':>9}{'tokens read':>13}{'of whole':>10}{'cached':>8}{'first token, s':>16}{'index once, s':>15}{'again, s':>10}{priced:>20}"
    ]
    for length in chosen:
        for name, own in found:
            one = own.get(length)
            if one is None or not one.n:
                continue
            dollars = f"{1000 * one.dollars:>20.4g}" if hardware and not math.isnan(one.dollars) else f"{'-' if hardware else '':>20}"
            lines.append((
                f"{name:<{wide}}{format_length(length):>9}{one.tokens:>13,.0f}{share(one.share):>10}{one.cached:>8.0%}"
                f"{_seconds(one.first_token_seconds):>16}{_seconds(one.index_once_seconds):>15}{_seconds(one.index_seconds):>10}{dollars}"
            ).rstrip())
    return lines


def sentence(
    task: str, name: str, against: Comparison | None, pooled: verdict.Pooled | None, crossed: Sequence[Crossing], missed: Misses,
    cost: dict[int, Cost], cells: dict[int, CellStats], unfit: Sequence[int], confidence: float, margin: float,
) -> str:
    """What choosing this reader means for this task; ``unfit`` are the lengths at which ``full`` has no room."""
    parts = [f"{name} and full have no answered trial in common, so nothing can be said of the difference"]
    if against is not None and pooled is not None:
        parts = [difference(name, against, pooled, confidence, margin), *(_better(one) for one in crossed if one.condition == "better")]
    measured = [length for length in cost if length and cost[length].n]
    longest = [*([against.lengths[-1].lengths[0]] if against else []), *measured[-1:]]
    told = [f"{share(cost[length].share)} of the tokens at {format_length(length)}" for length in dict.fromkeys(longest) if cost[length].n]
    parts.append(f"it reads {' and '.join(told)}")
    if wrong := missed.retrieval + missed.reading:
        parts.append(f"{wrong} of {missed.num_answers} answers are wrong: {missed.retrieval} not retrieved, {missed.reading} retrieved and not read")
    if beyond := [length for length in unfit if length in cells and cells[length].n]:
        parts.append(f"full does not fit from {format_length(beyond[0])} on, {name} has {interval(cells[beyond[-1]])} at {format_length(beyond[-1])}")
    return f"for {task}: {'; '.join(parts)}."


def difference(name: str, against: Comparison, pooled: verdict.Pooled, confidence: float, margin: float) -> str:
    """The difference to the full context: what is shown, what is ruled out, and where nothing can be said."""
    overall, points = against.overall, f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"
    if overall.is_significant(confidence) or any(d.is_significant(confidence) for d in against.lengths):
        return f"against the full context {verdict.sentence(against, 'full', name, pooled, confidence, margin).rstrip('.')}"
    if all(d.is_noninferior(margin) for d in against.lengths):
        return f"{name} is not worse than the full context by {points} at any length ({verdict.span(overall)} points over all)"
    text = f"{name} is {verdict.span(overall)} points from the full context, not significant (Holm p = {overall.adjusted_p:.2g})"
    if overall.num_repeats < MIN_REPEATS:
        return f"{text}: {overall.num_repeats} repeat{'s' if overall.num_repeats > 1 else ''} cannot say more"
    return f"{text}; a loss of {points} {'is ruled out over all lengths together' if overall.is_noninferior(margin) else 'cannot be ruled out'}"


def crossing(name: str, found: Crossing, unfit: Sequence[int]) -> str:
    """One line: from which length on, with its interval."""
    what = {"better": "better than full", "not worse": "not worse than full by the margin"}[found.condition]
    text = f"{name}: {what} {at(found.length, found.lengths)} [{_end(found.low)}, {_end(found.high)}]"
    return f"{text}; full does not fit from {format_length(unfit[0])} on" if found.length is None and unfit else text


def _better(found: Crossing) -> str:
    return f"better {at(found.length, found.lengths)} [{_end(found.low)}, {_end(found.high)}]"


def at(length: int | None, lengths: Sequence[int]) -> str:
    if length is None:
        return f"nowhere up to {format_length(lengths[-1])}"
    if length == lengths[0]:
        return f"from the first length on ({format_length(length)})"
    return f"from {format_length(length)} on"


def share(value: float) -> str:
    """Percent with as many places as it takes."""
    return f"{value:.0%}" if value >= 0.095 else f"{value:.1%}" if value >= 0.00095 else f"{value:.2%}" if value >= 0.000095 else f"{value:.3%}"


def _end(length: int | None) -> str:
    return "none" if length is None else format_length(length)


def interval(cell: CellStats | None) -> str:
    """Accuracy with its interval, a dash without answers."""
    return f"{cell.mean:.2f} [{cell.low:.2f}, {cell.high:.2f}]" if cell and cell.n else "-"


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}" if value < 1 else f"{value:.1f}"
