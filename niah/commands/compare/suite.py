"""Sweeps compared run by run: the mean of their settings, a line and verdict each, what is written, the exit code."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from niah.commands.compare import pages
from niah.commands.compare.changed import changed
from niah.commands.compare.content import of_comparison, of_resolution
from niah.commands.compare.discordant import discordant, listed
from niah.commands.compare.pairs import CompareSettings, answers, measure
from niah.commands.compare.suites import Suite, suites
from niah.commands.results import make, without_nan, write
from niah.errors import NiahError
from niah.report import difference, graded, style, suite_verdict, verdict
from niah.report.cell_grid import MAX_GRIDS, too_many
from niah.report.settings import ReportSettings
from niah.runs import sweeps
from niah.stats import suite_comparison
from niah.stats.comparison import Answers, Comparison
from niah.stats.power import Resolution
from niah.tasks.ruler import SETTINGS


@dataclasses.dataclass(frozen=True)
class _Judged:
    """A suite with what was found: the mean's ``mean``, each setting's comparison by name, both in words."""

    suite: Suite
    mean: Comparison
    settings: Mapping[str, Comparison]
    could: Resolution | None
    sentences: tuple[str, str]


def compare_suites(paths: Sequence[str], settings: CompareSettings, look: ReportSettings) -> tuple[list[str], int]:
    """As ``compare.compare``, for sweeps."""
    if settings.primary == graded.GRADED:
        raise NiahError(
            "compare.primary: got graded for sweeps; expected accuracy, whose mean over settings is compared; compare "
            "two runs of one setting for its log-probability"
        )
    found, notes = suites(paths, settings)
    sides = [[(answers(pair.a), answers(pair.b)) for pair in suite.pairs.values()] for suite in found]
    means = suite_comparison.comparisons(sides, settings.confidence)
    judged = [_judged(*one, settings) for one in zip(found, sides, means, strict=True)]
    lines = [f"note: {note}" for note in notes]
    for one in judged:
        lines += _lines(one, settings)
    code = 2 if any(_is_regression(one, settings) for one in judged) else 0
    if code:
        lines.append(f"regression (compare.fail_on={settings.fail_on}): exit code 2")
    folder = make(_folder(paths, settings))
    lines += [*_written(judged, folder, settings, code), *_drawn(judged, folder, settings, look)]
    shown = [(one.suite, one.mean, one.settings) for one in judged]
    said = [sentence for one in judged for sentence in one.sentences]
    return [*lines, *pages.of_suites(shown, said, settings.confidence, folder, look)], code


def _folder(paths: Sequence[str], settings: CompareSettings) -> Path:
    if settings.out:
        return Path(settings.out)
    return Path(paths[0]) if len(paths) == 1 else sweeps.together("compare", paths)


def _judged(
    suite: Suite, sides: Sequence[tuple[Answers, Answers]], mean: Comparison, settings: CompareSettings
) -> _Judged:
    each = dict(zip(suite.pairs, measure(list(suite.pairs.values()), settings), strict=True))
    could = None
    if verdict.is_open(mean, settings.confidence):
        could = suite_comparison.resolution(sides, mean.overall, settings.confidence)
    over = partial(suite_comparison.pooled, sides)
    name = f"{suite.other}, {_mean(suite)},"
    told = verdict.sentence(mean, suite.base, name, over, settings.confidence, settings.margin, could)
    overall = {label: one.overall for label, one in each.items()}
    return _Judged(suite, mean, each, could, (told, suite_verdict.sentence(overall, settings.confidence)))


def _mean(suite: Suite) -> str:
    """What the mean is called: RULER's own has all its settings, and nothing else."""
    whole = suite.is_ruler and {*suite.pairs} == {*SETTINGS}
    return "RULER's mean of 13" if whole else f"mean of {len(suite.pairs)}"


def _lines(one: _Judged, settings: CompareSettings) -> list[str]:
    suite, overall = one.suite, one.mean.overall
    how = "of the same length, depth and repeat" if settings.across else "of the same prompt"
    each = [changed(pair) for pair in suite.pairs.values()]
    different = [words for words in each[0] if all(words in own for own in each)]
    by_name = {name: found.overall for name, found in one.settings.items()}
    return [
        f"{suite.other} against {suite.base} (baseline): {len(suite.pairs)} settings, {overall.num_pairs} pairs {how}, "
        f"{overall.num_repeats} repeats",
        *(f"note: {note}" for note in suite.notes),
        *([f"what differs: {'; '.join(different)}"] if different else []),
        *suite_verdict.table(by_name, suite.base, suite.other, settings.confidence),
        *(f"note: {note}" for note in suite_verdict.caveats(by_name, settings.confidence)),
        f"{_mean(suite)}, each setting counted the same",
        *verdict.table(one.mean, suite.base, suite.other, settings.confidence),
        *(f"note: {note}" for note in verdict.caveats(one.mean, settings.confidence)),
        *one.sentences,
    ]


def _is_regression(one: _Judged, settings: CompareSettings) -> bool:
    """What ``fail_on`` asks of the mean, and of each setting over all lengths; of non-inferiority the mean alone, at
    every length."""
    if settings.fail_on == "worse":
        each = [found.overall for found in one.settings.values()]
        return suite_verdict.is_worse(one.mean, each, settings.confidence)
    if settings.fail_on == "not_noninferior":
        return not all(found.is_noninferior(settings.margin) for found in one.mean.lengths)
    return False


def _written(judged: Sequence[_Judged], folder: Path, settings: CompareSettings, code: int) -> list[str]:
    trials = [
        {"setting": name, **trial}
        for one in judged for name, pair in one.suite.pairs.items() for trial in discordant(pair)
    ]
    write(folder / "discordant.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in trials))
    content = {
        "schema": 2, "settings": dataclasses.asdict(settings), "exit_code": code, "comparisons": [],
        "suites": [_content(one) for one in judged],
    }
    write(folder / "compare.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return listed(trials, folder)


def _content(one: _Judged) -> dict[str, Any]:
    """One sweep against the baseline: the mean's comparison, and each setting's by name."""
    suite = one.suite
    return {
        "base": suite.base, "other": suite.other, "mean_of": list(suite.pairs), "verdict": one.sentences[0],
        "settings_verdict": one.sentences[1], "notes": list(suite.notes), "could_find": of_resolution(one.could),
        **without_nan(dataclasses.asdict(one.mean)),
        "settings": {
            name: of_comparison(pair, one.settings[name], "", None, None, None) for name, pair in suite.pairs.items()
        },
    }


def _drawn(
    judged: Sequence[_Judged], folder: Path, settings: CompareSettings, look: ReportSettings
) -> list[str]:
    named = [
        (f"{name}, {one.suite.other}" if len(judged) > 1 else name, found)
        for one in judged for name, found in one.settings.items()
    ]
    depths = {name: len({cell.depth for cell in found.cells}) for name, found in named}
    flat = [name for name, num in depths.items() if num == 1 < max(depths.values())]
    drawn = [(name, found) for name, found in named if name not in flat]
    first = judged[0].suite
    record = next(iter(first.pairs.values())).base.record
    other = first.other if len(judged) == 1 else "others"
    title = f"{f'{record.model_label}, ' if record.model_label else ''}{other}: difference to {first.base}"
    files = difference.draw(
        drawn[:MAX_GRIDS], first.base, title, settings.confidence, record.engine_name, folder, look
    )
    return [
        *too_many(len(drawn), "comparisons"), *(f"difference: {file}" for file in files),
        *(style.undrawn([title, *(name for name, _ in drawn)], look.font) if files else []),
        *([f"not drawn, having no depths: {', '.join(flat)}"] if flat and files else []),
    ]
