"""The verb ``compare``: what it prints, what it writes and its exit code."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from niah import config
from niah.commands.compare import drafts, pages, thoughts
from niah.commands.compare.changed import changed
from niah.commands.compare.content import of_comparison
from niah.commands.compare.discordant import discordant, listed
from niah.commands.compare.pairs import CompareSettings, Pair, Side, answers, is_regression, measure, pairs, sides
from niah.commands.compare.sentence import sentence
from niah.commands.compare.suite import compare_suites
from niah.commands.compare.suites import are_suites
from niah.commands.results import make, write
from niah.commands.words import changes, folder_arguments
from niah.report import difference, graded, labels, style, verdict
from niah.report.cell_grid import MAX_GRIDS, too_many
from niah.report.settings import ReportSettings
from niah.runs import sweeps
from niah.stats.comparison import Comparison
from niah.stats.power import Resolution, fall, resolution
from niah.terminal import say
from niah.units import format_count

_WHY = {
    graded.ACCURACY: (
        "accuracy decides, as answers are what a user gets; the log-probability falls before answers flip and needs "
        "fewer repeats; compare.primary=graded, declared before the run, lets it decide"
    ),
    graded.GRADED: (
        "the log-probability decides, as declared; accuracy is claimed only where it has changed, so that both "
        "together are wrong as rarely as one"
    ),
}
_SIMULATED = 24
"""Comparisons whose resolution is simulated, up to a second each."""


def main(words: list[str]) -> int:
    """Exit code of ``compare A B [C ...] [compare.key=...]``: 2 for a regression."""
    paths, rest = folder_arguments("compare", words)
    lines, code = compare(paths, rest)
    say(*lines)
    return code


@dataclass(frozen=True)
class Results:
    """Each pair with the baseline, its statistics and what is said of it: ``verdicts`` of accuracy, ``told`` of the
    graded signal, ``resolutions`` what could have been found, which ``left_out`` says of those without; ``notes`` are
    about all of them."""

    base: Side
    pairs: Sequence[Pair]
    found: Sequence[Comparison]
    verdicts: Sequence[str]
    told: Sequence[str | None]
    resolutions: Sequence[Resolution | None]
    notes: Sequence[str]
    left_out: Sequence[str]
    settings: CompareSettings

    @property
    def title(self) -> str:
        model = self.base.record.model_label or self.base.columns.model[0]
        tasks = ", ".join(dict.fromkeys(self.base.columns.task.tolist()))
        return f"{model}, {tasks}: difference to {self.base.label}"

    @property
    def named(self) -> list[tuple[str, Comparison]]:
        """Each comparison with the label of what was compared with the baseline."""
        return [(pair.other.label, one) for pair, one in zip(self.pairs, self.found, strict=True)]

    @property
    def said(self) -> list[str]:
        """The sentences of each comparison."""
        return [" ".join(filter(None, both)) for both in zip(self.verdicts, self.told, strict=True)]

    def lines(self) -> list[str]:
        """What a person reads: notes, then for each comparison its table and its sentences."""
        sides = [self.base, *(pair.other for pair in self.pairs)]
        lines = labels.made_up_lines([(one.label, one.record.engine_name) for one in sides])
        lines += [f"note: {note}" for note in self.notes]
        for pair, one, text, told in zip(self.pairs, self.found, self.verdicts, self.told, strict=True):
            lines += [*_table(pair, one, self.settings), *_in_order(text, told, one, self.settings)]
        lines += [f"note: {_WHY[self.settings.primary]}"] if any(self.told) else []
        return [*lines, *self.left_out]

    def content(self, code: int) -> dict[str, Any]:
        """Everything printed, as data: accuracies and differences as shares, signals in nats.

        Schema 2: p is null where there is no test, intervals leave 0 out where the test does. ``verdict`` is about
        accuracy, ``graded_verdict`` about the graded signal, null where it was not measured.
        """
        return {
            "schema": 2, "settings": dataclasses.asdict(self.settings), "exit_code": code,
            "comparisons": [
                of_comparison(pair, one, text, could, signal, _fall(one, self.settings))
                for pair, one, text, signal, could in zip(
                    self.pairs, self.found, self.verdicts, self.told, self.resolutions, strict=True
                )
            ],
        }


def results(paths: Sequence[str], settings: CompareSettings) -> Results:
    """The comparisons of these folders, of runs or of a sweep, with the first run. Nothing is written.

    Raises NiahError where there are no two sides.
    """
    found, notes = sides(sweeps.runs_below(paths), settings, paths)
    matched = pairs(found, settings)
    measured = measure(matched, settings)
    resolutions, left_out = _resolutions(matched, measured, settings)
    verdicts = [
        sentence(pair, one, settings, could) for pair, one, could in zip(matched, measured, resolutions, strict=True)
    ]
    told = [
        graded.sentence(one, pair.other.label, settings.confidence, settings.primary, _fall(one, settings))
        for pair, one in zip(matched, measured, strict=True)
    ]
    return Results(found[0], matched, measured, verdicts, told, resolutions, notes, left_out, settings)


def compare(paths: Sequence[str], words: Sequence[str]) -> tuple[list[str], int]:
    """What to print and the exit code: 2 for the regression that ``compare.fail_on`` asks about, else 0."""
    given = changes("compare", words, ("compare", "report"))
    settings: CompareSettings = config.typed("compare", CompareSettings, given.get("compare", {}))[0]
    formats = {"formats": ["png", "svg", "pdf"], **given.get("report", {})}
    look: ReportSettings = config.typed("report", ReportSettings, formats)[0]
    if are_suites(paths):
        return compare_suites(paths, settings, look)
    made = results(paths, settings)
    lines = made.lines()
    code = 2 if is_regression(made.found, settings) else 0
    if code:
        lines.append(f"regression (compare.fail_on={settings.fail_on}): exit code 2")
    folder = make(_folder(paths, sweeps.runs_below(paths), settings))
    trials = [trial for pair in made.pairs if pair.is_paired for trial in discordant(pair)]
    lines += listed(trials, folder)
    write(folder / "discordant.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in trials))
    write(folder / "compare.json", json.dumps(made.content(code), indent=2, ensure_ascii=False) + "\n")
    files = difference.draw(
        made.named[:MAX_GRIDS], made.base.label, made.title, settings.confidence, made.base.record.engine_name, folder,
        look,
    )
    lines += [*too_many(len(made.named), "comparisons"), *(f"difference: {file}" for file in files)]
    lines += style.undrawn([made.title, *(name for name, _ in made.named)], look.font) if files else []
    return [*lines, *pages.of_pairs(made.pairs, made.found, made.said, folder, look)], code


def _folder(paths: Sequence[str], runs: Sequence[str], settings: CompareSettings) -> Path:
    """Where results go: the folder of a sweep, else one beside the first run."""
    if settings.out:
        return Path(settings.out)
    is_sweep = len(paths) == 1 and list(paths) != list(runs)
    return Path(paths[0]) if is_sweep else sweeps.together("compare", paths)


def _table(pair: Pair, one: Comparison, settings: CompareSettings) -> list[str]:
    """Which runs, what differs between them, the numbers, and what limits them."""
    base, other = pair.base.label, pair.other.label
    how = "of the same length, depth and repeat" if settings.across else "of the same prompt"
    overall = one.overall
    counts = "not paired"
    if one.is_paired:
        counts = f"{format_count(overall.num_pairs, 'pair')} {how}, {format_count(overall.num_repeats, 'repeat')}"
    different = changed(pair)
    return [
        f"{other} against {base} (baseline): {counts}",
        *(f"note: {note}" for note in pair.notes),
        *([f"what differs: {'; '.join(different)}"] if different else []),
        *verdict.table(one, base, other, settings.confidence),
        *graded.table(one, settings.confidence),
        *drafts.lines(pair),
        *thoughts.lines(pair),
        *(f"note: {note}" for note in verdict.caveats(one, settings.confidence)),
    ]


def _resolutions(
    matched: Sequence[Pair], results: Sequence[Comparison], settings: CompareSettings
) -> tuple[list[Resolution | None], list[str]]:
    """What each comparison could have found, None where it found something or could not decide at all; and a line
    where there are too many to simulate each."""
    is_open = [verdict.is_open(one, settings.confidence) for one in results]
    wanted = {*list(compress(range(len(results)), is_open))[:_SIMULATED]}
    found = [
        resolution(answers(pair.a), answers(pair.b), one.is_paired, one.overall, settings.confidence)
        if number in wanted else None for number, (pair, one) in enumerate(zip(matched, results, strict=True))
    ]
    if sum(is_open) <= _SIMULATED:
        return found, []
    return found, [
        f"note: what could have been found is told of the first {_SIMULATED} of {sum(is_open):,} comparisons without a "
        "significant difference; compare two runs for theirs"
    ]


def _fall(one: Comparison, settings: CompareSettings) -> float | None:
    """The smallest fall of the log-probability (nats) that would have been found with 80%, where none was."""
    if one.signal is None or not graded.is_open(one, settings.confidence):
        return None
    return fall(one.signal, settings.confidence)


def _in_order(accuracy: str, signal: str | None, one: Comparison, settings: CompareSettings) -> list[str]:
    """The two sentences, the declared one first."""
    if signal is None:
        return [accuracy]
    told = [graded.second(accuracy, one, settings.confidence, settings.primary), signal]
    return told if settings.primary == graded.ACCURACY else told[::-1]
