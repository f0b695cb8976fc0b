"""RAG or the long context, in words: tables, and one sentence for each retrieving reader."""

import math
from collections.abc import Sequence

from niah.report import verdict
from niah.report.text_table import aligned, width
from niah.stats.cells import CellStats
from niah.stats.comparison import MIN_REPEATS, Comparison
from niah.stats.costs import Cost
from niah.stats.crossing import Crossing
from niah.stats.misses import Misses
from niah.stats.power import Resolution
from niah.units import format_length


def accuracy(
    names: Sequence[str], cells: Sequence[dict[int, CellStats]], unfit: Sequence[Sequence[int]], lengths: Sequence[int],
    shared: Sequence[int],
) -> list[str]:
    """A line a reader, a column a length; the last is over the lengths that all readers answer."""
    places = [*lengths, *([0] if len(shared) > 1 else [])]
    heads = [format_length(n) if n else f"{format_length(shared[0])} to {format_length(shared[-1])}" for n in places]
    rows = [["accuracy", *heads]]
    for name, own, above in zip(names, cells, unfit, strict=True):
        rows.append([name, *("does not fit" if n in above else interval(own.get(n)) for n in places)])
    return aligned(rows, [-max(map(width, names)), *[19] * len(places)], gap="")


def misses(found: Sequence[tuple[str, dict[int, Misses]]], lengths: Sequence[int]) -> list[str]:
    """A line a reader: at each length retrieval misses + reading misses of answers."""
    places = [*lengths, 0]
    widths = [14] * len(places)
    heads = ["wrong: not retrieved + not read", *map(format_length, lengths), "all"]
    rows = []
    for name, own in found:
        total = own[0]
        detail = f"   not retrieved: {total.missed} missed, {total.split} split"
        if total.right_without:
            detail += f"; {total.right_without} right without all needles"
        counts = [
            f"{own[n].retrieval}+{own[n].reading} of {own[n].num_answers}" if n in own else "-" for n in places
        ]
        rows.append([name, *counts, detail])
    wide = max([32, *(len(name) for name, _ in found)])
    return [*aligned([heads], [-32, *widths], gap=""), *aligned(rows, [-wide, *widths, 0], gap="")]


def costs(
    found: Sequence[tuple[str, dict[int, Cost]]], lengths: Sequence[int], shared: Sequence[int], hardware: str | None
) -> list[str]:
    """A line a reader and length: the longest one that all answer, then the longest of all."""
    rows = [[
        "cost", "length", "tokens read", "of whole", "cached", "first token, s", "index once, s", "again, s",
        f"$ per 1,000 on {hardware}" if hardware else "",
    ]]
    for length in dict.fromkeys([*shared[-1:], lengths[-1]]):
        for name, own in found:
            one = own.get(length)
            if one is not None and one.n:
                cached = "-" if math.isnan(one.cached) else f"{one.cached:.0%}"
                dollars = "-" if math.isnan(one.dollars) else f"{1000 * one.dollars:.4g}"
                rows.append([
                    name, format_length(length), f"{one.tokens:,.0f}", share(one.share), cached,
                    _seconds(one.first_token_seconds), _seconds(one.index_once_seconds), _seconds(one.index_seconds),
                    dollars if hardware else "",
                ])
    head, *lines = aligned(rows, [-max(width(name) for name, _ in found), 9, 13, 10, 8, 16, 15, 10, 20], gap="")
    return [head, *(line.rstrip() for line in lines)]


def sentence(
    task: str, name: str, against: Comparison | None, pooled: verdict.Pooled | None, crossed: Sequence[Crossing],
    missed: Misses, cost: dict[int, Cost], cells: dict[int, CellStats], unfit: Sequence[int], confidence: float,
    margin: float, resolution: Resolution | None = None,
) -> str:
    """What choosing this reader means for this task; ``unfit`` are the lengths at which ``full`` has no room."""
    parts = [f"{name} and full have no answered trial in common, so nothing can be said of the difference"]
    if against is not None and pooled is not None:
        gains = [
            better(one) for one in crossed
            if one.condition == "better" and (one.is_shown or one.is_excluded) and against.overall.has_test
        ]
        parts = [difference(name, against, pooled, confidence, margin, resolution), *gains]
    measured = [length for length in cost if length and cost[length].n]
    longest = [*([against.lengths[-1].lengths[0]] if against else []), *measured[-1:]]
    read = [
        f"{share(cost[length].share)} of the tokens at {format_length(length)}"
        for length in dict.fromkeys(longest) if cost[length].n
    ]
    parts.append(f"it reads {' and '.join(read)}")
    if wrong := missed.retrieval + missed.reading:
        why = f"{missed.retrieval} not retrieved, {missed.reading} retrieved and not read"
        parts.append(f"{wrong} of {missed.num_answers} answers are wrong: {why}")
    if beyond := [length for length in unfit if length in cells and cells[length].n]:
        own = f"{name} has {interval(cells[beyond[-1]])} at {format_length(beyond[-1])}"
        parts.append(f"full does not fit from {format_length(beyond[0])} on, {own}")
    return f"for {task}: {'; '.join(parts)}."


def difference(
    name: str, against: Comparison, pooled: verdict.Pooled, confidence: float, margin: float,
    resolution: Resolution | None = None,
) -> str:
    """The difference to the full context: what is shown, what is ruled out, and where nothing can be said."""
    overall, points = against.overall, f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"
    if not overall.has_test:
        return verdict.sentence(against, "full", name, pooled, confidence, margin).rstrip(".")
    if overall.is_significant(confidence) or any(d.is_significant(confidence) for d in against.lengths):
        text = verdict.sentence(against, "full", name, pooled, confidence, margin)
        return f"against the full context {text.rstrip('.')}"
    span = verdict.span(overall)
    if all(d.is_noninferior(margin) for d in against.lengths):
        return f"{name} is not worse than the full context by {points} at any length ({span} points over all)"
    text = f"{name} is {span} points from the full context, not significant (Holm p = {overall.adjusted_p:.2g})"
    if overall.num_repeats < MIN_REPEATS:
        text += f": {overall.num_repeats} repeats cannot say more"
    if resolution:
        text += f"; {verdict.resolved(resolution)}"
    if overall.num_repeats < MIN_REPEATS:
        return text
    if overall.is_noninferior(margin):
        return f"{text}; a loss of {points} is ruled out over all lengths together"
    return f"{text}; a loss of {points} cannot be ruled out"


def crossing(name: str, found: Crossing, unfit: Sequence[int]) -> str:
    """One line: from which length on, with its interval."""
    what = {"better": "better than full", "not worse": "not worse than full by the margin"}[found.condition]
    text = f"{name}: {_crossing(found, what)}"
    return f"{text}; full does not fit from {format_length(unfit[0])} on" if found.length is None and unfit else text


def better(found: Crossing) -> str:
    """From which length on a reader is better, with its interval."""
    return _crossing(found, "better")


def _crossing(found: Crossing, what: str) -> str:
    """What is shown, else what was only seen: one that no test found is not called better."""
    text = f"{what} {_at(found.length, found.lengths)} [{_end(found.low)}, {_end(found.high)}]"
    if found.is_shown or found.is_excluded:
        return text
    return f"not shown: {text}"


def _at(length: int | None, lengths: Sequence[int]) -> str:
    if length is None:
        return f"nowhere up to {format_length(lengths[-1])}"
    if length == lengths[0]:
        return f"from the first length on ({format_length(length)})"
    return f"from {format_length(length)} on"


def share(value: float) -> str:
    """Percent with as many places as it takes."""
    for places, least in enumerate((0.095, 0.00095, 0.000095)):
        if value >= least:
            return f"{value:.{places}%}"
    return f"{value:.3%}"


def _end(length: int | None) -> str:
    return "none" if length is None else format_length(length)


def interval(cell: CellStats | None) -> str:
    """Accuracy with its interval, a dash without answers."""
    return f"{cell.mean:.2f} [{cell.low:.2f}, {cell.high:.2f}]" if cell and cell.n else "-"


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}" if value < 1 else f"{value:.1f}"
