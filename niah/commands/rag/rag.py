"""The verb ``rag``: what it prints, draws and writes."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from niah import config
from niah.commands import page
from niah.commands.rag import prices
from niah.commands.rag.gather import Group, gather
from niah.commands.rag.measure import GroupResult, ReaderResult, measure
from niah.commands.rag.settings import RagSettings
from niah.commands.results import make, without_nan, write
from niah.commands.words import changes, folder_arguments
from niah.errors import NiahError
from niah.planner.hardware import Hardware
from niah.report import labels, rag_advice, rag_curve, rag_pareto, rag_text, style, verdict
from niah.report.page.numbers import Compared, Shown
from niah.report.panel import Panel
from niah.report.rag_advice import Option
from niah.report.rag_curve import Line
from niah.report.rag_pareto import Point
from niah.report.settings import ReportSettings
from niah.runs import store, sweeps
from niah.stats.comparison import Comparison, Difference, pooled
from niah.stats.costs import Price
from niah.stats.power import Resolution, resolution
from niah.terminal import say
from niah.units import format_count, format_length


def main(words: list[str]) -> int:
    """Exit code of ``rag DIR [DIR ...] [rag.key=...]``."""
    paths, rest = folder_arguments("rag", words)
    say(*rag(paths, rest))
    return 0


def rag(paths: Sequence[str], words: Sequence[str]) -> list[str]:
    """What to print; pictures and rag.json are in ``rag.out``, else in the folder of runs or beside the first run."""
    changed = changes("rag", words, ("rag", "report"))
    settings: RagSettings = config.typed("rag", RagSettings, changed.get("rag", {}))[0]
    formats = {"formats": ["png", "svg"], **changed.get("report", {})}
    look: ReportSettings = config.typed("report", ReportSettings, formats)[0]
    machine = prices.machine(settings.hardware) if settings.hardware else None
    groups, notes = gather(paths)
    folder = make(_folder(paths, settings))
    lines, contents, sentences = [f"note: {note}" for note in notes], [], []
    advice: list[str] = []
    results: list[tuple[GroupResult, list[str]]] = []
    for group in groups:
        price, why_not = _price(group, machine)
        lines += ([""] if lines else []) + ([f"note: no dollars: {why_not}"] if why_not else [])
        result = measure(group, settings, price)
        suffix = "" if len(groups) == 1 else f"-{_slug(group.label)}"
        own, told = _sentences(result, settings), _advice(result, settings)
        lines += [*_lines(result, settings, bool(price)), *_pictures(result, settings, folder, look, suffix)]
        results.append((result, own))
        contents.append({**_content(result, own), "advice": told})
        sentences += own
        advice += told
    content = {"schema": 1, "settings": dataclasses.asdict(settings), "notes": notes, "tasks": contents}
    write(folder / "rag.json", json.dumps(without_nan(content), indent=2, ensure_ascii=False) + "\n")
    lines += [*_page(results, folder, look, advice), f"all figures: {folder / 'rag.json'}"]
    return [*lines, *([""] if sentences else []), *advice, *sentences]


def _page(
    results: Sequence[tuple[GroupResult, list[str]]], folder: Path, look: ReportSettings, advice: Sequence[str]
) -> list[str]:
    """One page of all readers of all tasks, each retrieving one compared with ``full``; the advice stands first."""
    shown: list[Shown] = []
    compared: list[Compared] = []
    for result, sentences in results:
        places = {one.label: len(shown) + number for number, one in enumerate(result.readers)}
        for one in result.readers:
            name = one.label if len(results) == 1 else f"{result.group.label}, {one.label}"
            shown.append(Shown(Panel(name, one.run.record, one.run.rows), one.run.folder))
        full = result.of("full")
        told = dict(zip((one.label for one in result.retrieving), sentences, strict=False))
        compared += [
            Compared(places[full.label], places[one.label], one.against, told.get(one.label, ""))
            for one in result.retrieving if full and one.against
        ]
    said = [*advice, *(sentence for _, sentences in results for sentence in sentences)]
    return page.write_page(shown[: page.MAX_SHOWN], folder, look, compared, said)


def _folder(paths: Sequence[str], settings: RagSettings) -> Path:
    if settings.out:
        return Path(settings.out)
    if len(paths) == 1 and not store.is_run(Path(paths[0])):
        return Path(paths[0]) / "rag"
    return sweeps.together("rag", paths)


def _price(group: Group, machine: Hardware | None) -> tuple[Price | None, str]:
    """A price for each prompt, or the reason why there is none."""
    if machine is None:
        return None, ""
    try:
        return prices.price(group.readers[0].record, machine, max(group.lengths)), ""
    except NiahError as error:
        return None, str(error)


def _lines(result: GroupResult, settings: RagSettings, is_priced: bool) -> list[str]:
    names, readers = [one.label for one in result.readers], result.readers
    repeats = format_count(result.num_repeats, "repeat")
    return [
        *labels.made_up_lines([(one.label, one.run.record.engine_name) for one in readers]),
        f"task {result.group.label}: {len(names)} readers on the same instances, {repeats}",
        *_known(result, settings),
        *rag_text.accuracy(
            names, [one.cells for one in readers], [one.unfit for one in readers], result.lengths, result.shared
        ),
        *rag_text.misses([(one.label, one.misses) for one in result.retrieving], result.lengths),
        *rag_text.costs(
            [(one.label, one.cost) for one in readers], result.lengths, result.shared,
            settings.hardware if is_priced else None,
        ),
        *_comparisons(result, settings),
    ]


def _known(result: GroupResult, settings: RagSettings) -> list[str]:
    """The floor and the ceiling, and how many questions need no context."""
    ends = [("guessing floor (none)", result.of("none")), ("reading ceiling (oracle)", result.of("oracle"))]
    accuracies = [f"{name} {rag_text.interval(one.cells[0])}" for name, one in ends if one]
    lines = [", ".join(accuracies)] if accuracies else []
    if result.num_known is None:
        return [*lines, "note: no run with reader=none, so questions that need no context are not known"]
    if not result.num_known:
        return [*lines, f"answerable without the context: none of {result.num_questions} questions"]
    end = (
        f"{result.num_dropped} left out of everything (rag.drop_known)" if settings.drop_known
        else "rag.drop_known=true leaves them out"
    )
    known = f"{result.num_known} of {result.num_questions} questions"
    return [*lines, f"answerable without the context: {known}; {end}"]


def _comparisons(result: GroupResult, settings: RagSettings) -> list[str]:
    """Each retrieving reader against ``full``, and where the intervals of crossing lengths come from."""
    full = result.of("full")
    lines, against = [], []
    for one in result.retrieving:
        if one.against:
            against.append(one.against)
            lines += _comparison(one, one.against, full.unfit if full else (), settings)
    if against:
        lines.append(f"intervals of crossing lengths: {_methods(result)}; none: not within the ladder")
        caveats = [note for one in against for note in verdict.caveats(one, settings.confidence)]
        lines += [f"note: {note}" for note in dict.fromkeys(caveats)]
    elif not full:
        lines.append("note: no run with reader=full, so nothing is compared with the long context")
    return lines


def _comparison(one: ReaderResult, against: Comparison, unfit: Sequence[int], settings: RagSettings) -> list[str]:
    overall = against.overall
    return [
        f"{one.label} against full: {format_count(overall.num_pairs, 'pair')} of the same instance, "
        f"{format_count(overall.num_repeats, 'repeat')}",
        *verdict.table(against, "full", one.label, settings.confidence),
        *(rag_text.crossing(one.label, crossed, unfit) for crossed in one.crossings),
    ]


def _methods(result: GroupResult) -> str:
    methods = {crossed.condition: crossed.method for one in result.readers for crossed in one.crossings}
    if len({*methods.values()}) == 1:
        return next(iter(methods.values()))
    return "; ".join(f"{condition}: {method}" for condition, method in methods.items())


def _sentences(result: GroupResult, settings: RagSettings) -> list[str]:
    full = result.of("full")
    if not full:
        return []
    return [
        rag_text.sentence(
            result.group.label, one.label, one.against, _pooled(one), one.crossings, one.misses[0], one.cost, one.cells,
            full.unfit, settings.confidence, settings.margin, _resolution(one, settings),
        )
        for one in result.retrieving
    ]


def _advice(result: GroupResult, settings: RagSettings) -> list[str]:
    """Which reader to take, and what each costs a day at the longest length that all answer."""
    full, floor = result.of("full"), result.of("none")
    if not full or not result.retrieving:
        return []
    options = [
        Option(
            one.label, one.cells, one.cost, one.against, next(iter(one.crossings), None), _resolution(one, settings)
        )
        for one in result.retrieving
    ]
    is_listed = result.group.readers[0].record.task == "questions"
    advice = rag_advice.sentence(
        options, floor.cells[0] if floor else None, full.unfit, "questions" if is_listed else "repeats",
        settings.confidence, settings.margin,
    )
    length = (result.shared or result.lengths)[-1]
    costs = [(one.label, one.cost[length]) for one in (full, *result.retrieving) if length in one.cost]
    return [advice, rag_advice.daily(costs, length, settings.questions_per_day, settings.hardware)]


def _resolution(one: ReaderResult, settings: RagSettings) -> Resolution | None:
    """What the comparison with ``full`` could have found, where it found nothing."""
    if one.pair is None or one.against is None or not verdict.is_open(one.against, settings.confidence):
        return None
    return resolution(*one.pair, True, one.against.overall, settings.confidence)


def _pooled(one: ReaderResult) -> verdict.Pooled | None:
    if one.pair is None:
        return None
    full, other = one.pair

    def over(lengths: tuple[int, ...], confidence: float) -> Difference:
        return pooled(full, other, True, lengths, confidence)

    return over


def _pictures(
    result: GroupResult, settings: RagSettings, folder: Path, look: ReportSettings, suffix: str
) -> list[str]:
    record = result.group.readers[0].record
    title = f"{record.model_title}, {result.group.label}, haystack {record.haystack}"
    full = result.of("full")
    curves = rag_curve.draw(
        title, [_curve(one) for one in result.readers], result.lengths, full.unfit if full else (), record.engine_name,
        f"curve{suffix}", folder, look,
    )
    panels = [
        (heading, [_point(one, length, settings) for one in result.readers if length in one.cells])
        for heading, length in _headings(result)
    ]
    stairs = rag_pareto.draw(title, panels, settings.cost, record.engine_name, f"pareto{suffix}", folder, look)
    unseen = style.undrawn([title, *(one.label for one in result.readers)], look.font) if curves else []
    lines = [f"curve: {file}" for file in curves] + [f"accuracy against cost: {file}" for file in stairs]
    return [*lines, *unseen]


def _curve(one: ReaderResult) -> Line:
    shown = (crossed.length for crossed in one.crossings if crossed.condition == "better" and crossed.is_shown)
    better = next(shown, None)
    return Line(one.label, one.run.reader, [cell for length, cell in one.cells.items() if length], better)


def _headings(result: GroupResult) -> list[tuple[str, int]]:
    """Heading and length (0: those that all readers answer) of each panel of accuracy against cost."""
    panels, longest = [], result.lengths[-1]
    if shared := result.shared:
        span = " to ".join(dict.fromkeys(map(format_length, (shared[0], shared[-1]))))
        is_longest_alone = longest in shared and len(shared) == 1
        panels.append((span if is_longest_alone else f"{span}, which all readers answer", 0))
    if result.shared[-1:] != (longest,):
        full = result.of("full")
        why = ", where full does not fit" if full and longest in full.unfit else ""
        panels.append((f"{format_length(longest)}{why}", longest))
    return panels


def _point(one: ReaderResult, length: int, settings: RagSettings) -> Point:
    cost = one.cost[length]
    costs = {"tokens": cost.tokens, "seconds": cost.first_token_seconds, "dollars": 1000 * cost.dollars}
    return Point(one.label, one.run.reader, costs[settings.cost], one.cells[length])


def _content(result: GroupResult, sentences: list[str]) -> dict[str, Any]:
    """Everything as data: accuracies, differences and shares from 0 to 1."""
    return {
        "task": result.group.label, "lengths": list(result.lengths), "shared_lengths": list(result.shared),
        "num_repeats": result.num_repeats, "num_questions": result.num_questions, "num_known": result.num_known,
        "num_dropped": result.num_dropped,
        "known": [
            {"repeat": repeat, "length": length, "depth": depth} for repeat, length, depth in result.known
        ],
        "readers": [_reader_content(one) for one in result.readers],
        "sentences": sentences,
    }


def _reader_content(one: ReaderResult) -> dict[str, Any]:
    return {
        "label": one.label, "folder": one.run.folder, "reader": one.run.settings, "does_not_fit": list(one.unfit),
        "cells": _by_length(one.cells, "shared"), "cost": _by_length(one.cost, "shared"),
        "misses": _by_length(one.misses, "all"),
        "against_full": dataclasses.asdict(one.against) if one.against else None,
        "crossings": [dataclasses.asdict(crossed) for crossed in one.crossings],
    }


def _by_length(values: dict[int, Any], name_of_0: str) -> dict[str, Any]:
    return {str(length) if length else name_of_0: dataclasses.asdict(value) for length, value in values.items()}


def _slug(label: str) -> str:
    return re.sub(r"[^\w.-]+", "-", label).strip("-")[:60]
