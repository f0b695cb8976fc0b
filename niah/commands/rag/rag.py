"""The verb ``rag``: what it prints, draws and writes."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from niah import config as configuration
from niah.commands.rag import prices
from niah.commands.rag.gather import Group, gather
from niah.commands.rag.measure import Found, Measured, measure
from niah.commands.rag.settings import RagSettings
from niah.commands.report import make, without_nan, write
from niah.commands.words import changes, folder_arguments, together
from niah.errors import NiahError
from niah.report.settings import ReportSettings
from niah.stats.compared import pooled
from niah.stats.costs import Price
from niah.units import format_length


def main(words: list[str]) -> int:
    """Exit code of ``rag DIR [DIR ...] [rag.key=...]``."""
    paths, rest = folder_arguments("rag", words)
    print(*tell(paths, rest), sep="\n")
    return 0


def tell(paths: Sequence[str], words: Sequence[str]) -> list[str]:
    """Lines to print; pictures and rag.json are in ``rag.out``, else in the folder of runs or beside the first run."""
    changed = changes("rag", words, ("rag", "report"))
    settings, _ = configuration.typed("rag", RagSettings, changed.get("rag", {}))
    look, _ = configuration.typed("report", ReportSettings, {"formats": ["png", "svg"], **changed.get("report", {})})
    machine = prices.machine(settings.hardware) if settings.hardware else None
    groups, notes = gather(paths)
    folder = make(_folder(paths, settings))
    lines, contents, sentences = [f"note: {note}" for note in notes], [], []
    for group in groups:
        price, why_not = _price(group, machine)
        lines += ([""] if lines else []) + ([f"note: no dollars: {why_not}"] if why_not else [])
        found = measure(group, settings, price)
        told = _sentences(found, settings)
        lines += [*_lines(found, settings, bool(price)), *_pictures(found, settings, folder, look, "" if len(groups) == 1 else f"-{_slug(group.label)}")]
        contents.append(_content(found, told))
        sentences += told
    content = {"schema": 1, "settings": dataclasses.asdict(settings), "notes": notes, "tasks": contents}
    write(folder / "rag.json", json.dumps(without_nan(content), indent=2, ensure_ascii=False) + "\n")
    return [*lines, f"all figures: {folder / 'rag.json'}", *([""] if sentences else []), *sentences]


def _folder(paths: Sequence[str], settings: RagSettings) -> Path:
    if settings.out:
        return Path(settings.out)
    if len(paths) == 1 and not (Path(paths[0]) / "run.json").is_file():
        return Path(paths[0]) / "rag"
    return together("rag", paths)


def _price(group: Group, machine) -> tuple[Price | None, str]:
    """A price for each prompt, or the reason why there is none."""
    if machine is None:
        return None, ""
    try:
        return prices.price(group.arms[0].record, machine, max(group.lengths)), ""
    except NiahError as error:
        return None, str(error)


def _lines(found: Measured, settings: RagSettings, is_priced: bool) -> list[str]:
    from niah.report import rag_words, verdict

    names, own = [one.label for one in found.found], found.found
    lines = [f"task {found.group.label}: {len(names)} readers on the same instances, {found.num_repeats} repeat{'s' if found.num_repeats > 1 else ''}"]
    lines += _known(found, settings)
    lines += rag_words.accuracy(names, [one.cells for one in own], [one.unfit for one in own], found.lengths, found.shared)
    lines += rag_words.misses([(one.label, one.misses) for one in found.retrieving], found.lengths)
    lines += rag_words.costs([(one.label, one.cost) for one in own], found.lengths, found.shared, settings.hardware if is_priced else None)
    unfit = found.of("full").unfit if found.of("full") else ()
    for one in found.retrieving:
        if one.against:
            lines.append(f"{one.label} against full: {one.against.overall.num_pairs} pairs of the same instance, {one.against.overall.num_repeats} repeats")
            lines += verdict.table(one.against, "full", one.label, settings.confidence)
            lines += [rag_words.crossing(one.label, crossed, unfit) for crossed in one.crossings]
    if tested := [one.against for one in own if one.against]:
        methods = {c.condition: c.method for one in own for c in one.crossings}
        same = len({*methods.values()}) == 1
        method = next(iter(methods.values())) if same else "; ".join(f"{name}: {how}" for name, how in methods.items())
        lines.append(f"intervals of crossing lengths: {method}; none: not within the ladder")
        lines += [f"note: {note}" for note in dict.fromkeys(note for one in tested for note in verdict.caveats(one, settings.confidence))]
    elif not found.group.full:
        lines.append("note: no run with reader=full, so nothing is compared with the long context")
    return lines


def _known(found: Measured, settings: RagSettings) -> list[str]:
    from niah.report import rag_words

    ends = [(name, found.of(reader)) for name, reader in (("guessing floor (none)", "none"), ("reading ceiling (oracle)", "oracle"))]
    lines = [", ".join(f"{name} {rag_words.interval(one.cells[0])}" for name, one in ends if one)]
    if found.num_known is None:
        lines.append("note: no run with reader=none, so questions that need no context are not known")
    elif not found.num_known:
        lines.append(f"answerable without the context: none of {found.num_questions} questions")
    else:
        end = f"; {found.num_dropped} left out of everything (rag.drop_known)" if settings.drop_known else "; rag.drop_known=true leaves them out"
        lines.append(f"answerable without the context: {found.num_known} of {found.num_questions} questions{end}")
    return [line for line in lines if line]


def _sentences(found: Measured, settings: RagSettings) -> list[str]:
    from niah.report import rag_words

    full = found.of("full")
    if not full:
        return []
    return [
        rag_words.sentence(
            found.group.label, one.label, one.against, _pooled(one), one.crossings, one.misses[0], one.cost, one.cells, full.unfit,
            settings.confidence, settings.margin,
        )
        for one in found.retrieving
    ]


def _pooled(one: Found):
    if one.pair is None:
        return None
    return lambda lengths, level: pooled(*one.pair, True, lengths, level)


def _pictures(found: Measured, settings: RagSettings, folder: Path, look: ReportSettings, suffix: str) -> list[str]:
    from niah.report import rag_curve, rag_pareto

    record = found.group.arms[0].record
    title = f"{record.model_title}, {found.group.label}, haystack {record.haystack}"
    full = found.of("full")
    lines = []
    for one in found.found:
        better = next((c.length for c in one.crossings if c.condition == "better"), None)
        lines.append(rag_curve.Line(one.label, one.arm.reader, [cell for length, cell in one.cells.items() if length], better))
    files = rag_curve.draw(title, lines, found.lengths, full.unfit if full else (), f"curve{suffix}", folder, look)
    panels = []
    if found.shared:
        span = " to ".join(dict.fromkeys(map(format_length, (found.shared[0], found.shared[-1]))))
        panels.append((f"{span}, which all readers answer" if found.lengths[-1] not in found.shared or len(found.shared) > 1 else span, 0))
    if found.lengths[-1:] != found.shared[-1:]:
        panels.append((f"{format_length(found.lengths[-1])}{', where full does not fit' if full and found.lengths[-1] in full.unfit else ''}", found.lengths[-1]))
    points = [(heading, [_point(one, length, settings) for one in found.found if length in one.cells]) for heading, length in panels]
    drawn = rag_pareto.draw(title, points, settings.cost, f"pareto{suffix}", folder, look)
    return [f"curve: {file}" for file in files] + [f"accuracy against cost: {file}" for file in drawn]


def _point(one: Found, length: int, settings: RagSettings):
    from niah.report.rag_pareto import Point

    cost = one.cost[length]
    value = {"tokens": cost.tokens, "seconds": cost.first_token_seconds, "dollars": 1000 * cost.dollars}[settings.cost]
    return Point(one.label, one.arm.reader, value, one.cells[length])


def _content(found: Measured, sentences: list[str]) -> dict[str, Any]:
    """Everything as data: accuracies, differences and shares from 0 to 1."""
    return {
        "task": found.group.label, "lengths": list(found.lengths), "shared_lengths": list(found.shared), "num_repeats": found.num_repeats,
        "num_questions": found.num_questions, "num_known": found.num_known, "num_dropped": found.num_dropped,
        "known": [{"repeat": repeat, "length": length, "depth": depth} for repeat, length, depth in found.known],
        "readers": [
            {
                "label": one.label, "folder": one.arm.folder, "reader": one.arm.record.reader_settings, "does_not_fit": list(one.unfit),
                **{
                    name: {("shared" if length == 0 and name != "misses" else "all" if length == 0 else str(length)): dataclasses.asdict(value) for length, value in getattr(one, name).items()}
                    for name in ("cells", "cost", "misses")
                },
                "against_full": dataclasses.asdict(one.against) if one.against else None,
                "crossings": [dataclasses.asdict(crossed) for crossed in one.crossings],
            }
            for one in found.found
        ],
        "sentences": sentences,
    }


def _slug(label: str) -> str:
    return re.sub(r"[^\w.-]+", "-", label).strip("-")[:60]
