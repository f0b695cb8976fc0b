"""The verb ``compare``: what it prints, what it writes and its exit code."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from niah import config
from niah.commands.compare.pairs import CompareSettings, Pair, Side, answers, is_regression, measure, pairs, sides
from niah.commands.results import make, without_nan, write
from niah.commands.words import changes, folder_arguments
from niah.report import difference, graded, verdict
from niah.report.cell_grid import MAX_GRIDS, too_many
from niah.report.labels import apart
from niah.report.settings import ReportSettings
from niah.runs import sweeps
from niah.runs.columns import Columns
from niah.stats.comparison import Comparison, Difference, pooled
from niah.stats.power import GOALS, Resolution, fall, resolution
from niah.terminal import say

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
_SHOWN = 5
"""Discordant trials printed; all are in discordant.jsonl."""


def main(words: list[str]) -> int:
    """Exit code of ``compare A B [C ...] [compare.key=...]``: 2 for a regression."""
    paths, rest = folder_arguments("compare", words)
    lines, code = compare(paths, rest)
    say(*lines)
    return code


def compare(paths: Sequence[str], words: Sequence[str]) -> tuple[list[str], int]:
    """What to print and the exit code: 2 for the regression that ``compare.fail_on`` asks about, else 0."""
    changed = changes("compare", words, ("compare", "report"))
    settings: CompareSettings = config.typed("compare", CompareSettings, changed.get("compare", {}))[0]
    formats = {"formats": ["png", "svg", "pdf"], **changed.get("report", {})}
    look: ReportSettings = config.typed("report", ReportSettings, formats)[0]
    runs = sweeps.runs_below(paths)
    found, notes = sides(runs, settings, paths)
    matched = pairs(found, settings)
    results = measure(matched, settings)
    lines, verdicts, told = [f"note: {note}" for note in notes], [], []
    resolutions = [_resolution(pair, one, settings) for pair, one in zip(matched, results, strict=True)]
    for pair, one, could in zip(matched, results, resolutions, strict=True):
        verdicts.append(_verdict(pair, one, could, settings))
        told.append(graded.sentence(one, pair.other.label, settings.confidence, settings.primary, _fall(one, settings)))
        lines += [*_table(pair, one, settings), *_in_order(verdicts[-1], told[-1], one, settings)]
    lines += [f"note: {_WHY[settings.primary]}"] if any(told) else []
    code = 2 if is_regression(results, settings) else 0
    if code:
        lines.append(f"regression (compare.fail_on={settings.fail_on}): exit code 2")
    folder = make(_folder(paths, runs, settings))
    discordant = [trial for pair in matched if pair.is_paired for trial in _discordant(pair)]
    lines += _listed(discordant, folder)
    write(folder / "discordant.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in discordant))
    content = _content(settings, matched, results, verdicts, told, resolutions, code)
    write(folder / "compare.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    named = [(pair.other.label, one) for pair, one in zip(matched, results, strict=True)]
    base = found[0]
    title = f"{_title(base)}: difference to {base.label}"
    files = difference.draw(named[:MAX_GRIDS], base.label, title, settings.confidence, folder, look)
    return [*lines, *too_many(len(named), "comparisons"), *(f"difference: {file}" for file in files)], code


def _folder(paths: Sequence[str], runs: Sequence[str], settings: CompareSettings) -> Path:
    """Where results go: the folder of a sweep, else one beside the first run."""
    if settings.out:
        return Path(settings.out)
    is_sweep = len(paths) == 1 and list(paths) != list(runs)
    return Path(paths[0]) if is_sweep else sweeps.together("compare", paths)


def _title(base: Side) -> str:
    model = base.record.model_label or base.columns.model[0]
    return f"{model}, {', '.join(dict.fromkeys(base.columns.task.tolist()))}"


def _table(pair: Pair, one: Comparison, settings: CompareSettings) -> list[str]:
    """Which runs, what differs between them, the numbers, and what limits them."""
    base, other = pair.base.label, pair.other.label
    how = "of the same length, depth and repeat" if settings.across == "model" else "of the same prompt"
    overall = one.overall
    counts = f"{overall.num_pairs} pairs {how}, {overall.num_repeats} repeats" if one.is_paired else "not paired"
    changed = _changed(pair)
    return [
        f"{other} against {base} (baseline): {counts}",
        *(f"note: {note}" for note in pair.notes),
        *([f"what differs: {'; '.join(changed)}"] if changed else []),
        *verdict.table(one, base, other, settings.confidence),
        *graded.table(one, settings.confidence),
        *(f"note: {note}" for note in verdict.caveats(one, settings.confidence)),
    ]


def _verdict(pair: Pair, one: Comparison, resolution: Resolution | None, settings: CompareSettings) -> str:
    a, b = answers(pair.a), answers(pair.b)

    def over(lengths: tuple[int, ...], confidence: float) -> Difference:
        return pooled(a, b, one.is_paired, lengths, confidence)

    return verdict.sentence(
        one, pair.base.label, pair.other.label, over, settings.confidence, settings.margin, resolution
    )


def _resolution(pair: Pair, one: Comparison, settings: CompareSettings) -> Resolution | None:
    """What the comparison could have found; None where it found something, or could not decide at all."""
    if not verdict.is_open(one, settings.confidence):
        return None
    return resolution(answers(pair.a), answers(pair.b), one.is_paired, one.overall, settings.confidence)


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


def _changed(pair: Pair) -> list[str]:
    """Settings and versions that differ between two folders; for variants of one folder their names say it."""
    if pair.base.folder == pair.other.folder:
        return []
    changed = []
    for read in (_settings, _versions):
        old, new = read(pair.base), read(pair.other)
        changed += [
            f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in apart(sorted(old.keys() | new.keys()), old, [new])
        ]
    return changed


def _settings(side: Side) -> dict[str, Any]:
    return config.flat(config.deciding(dict(side.record.config)))


def _versions(side: Side) -> dict[str, Any]:
    return {f"version of {name}": version for name, version in side.record.environment.packages.items()}


def _discordant(pair: Pair) -> list[dict[str, Any]]:
    """Pairs whose scores differ, losses first, longest first; each with the command that shows what the model saw."""
    a, b = pair.a, pair.b
    shift = b.score - a.score
    places = [int(k) for k in np.flatnonzero(np.abs(shift) > 1e-9)]
    places.sort(key=lambda k: (shift[k] > 0, -a.length[k], a.depth[k], a.repeat[k]))
    return [
        {
            "change": "lost" if shift[k] < 0 else "gained", "length": int(a.length[k]), "depth": float(a.depth[k]),
            "repeat": int(a.repeat[k]), "base": _trial(pair.base, a, k), "other": _trial(pair.other, b, k),
        }
        for k in places
    ]


def _trial(side: Side, rows: Columns, k: int) -> dict[str, Any]:
    return {
        "run": side.label, "trial": int(rows.trial[k]), "score": float(rows.score[k]), "answer": rows.answer[k],
        "show": f"python -m niah show {side.folder} --trial {rows.trial[k]}",
    }


def _listed(discordant: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    if not discordant:
        return ["no discordant trials"]
    lines = [f"discordant trials: {len(discordant)}, all in {folder / 'discordant.jsonl'}; the first:"]
    for trial in discordant[:_SHOWN]:
        base, other = trial["base"], trial["other"]
        lines.append(
            f"  {trial['change']}: {_short(base['answer'])} -> {_short(other['answer'])} at {trial['length']:,}, "
            f"{trial['depth']:g}%, repeat {trial['repeat']}: {other['show']}"
        )
    return lines


def _short(answer: str) -> str:
    text = " ".join(answer.split())
    return repr(text[:40] + ("…" if len(text) > 40 else ""))


def _found(could: Resolution | None) -> dict[str, Any] | None:
    """The smallest loss found with 80%, and the repeats that find each of two losses (points as names)."""
    if could is None:
        return None
    repeats = {f"{100 * goal:g}": needed for goal, needed in zip(GOALS, could.repeats, strict=True)}
    return {"loss": could.loss, "repeats_by_points": repeats, "more_than": could.most}


def _content(
    settings: CompareSettings, matched: Sequence[Pair], results: Sequence[Comparison], verdicts: Sequence[str],
    told: Sequence[str | None], resolutions: Sequence[Resolution | None], code: int,
) -> dict[str, Any]:
    """Everything printed, as data: accuracies and differences as shares, signals in nats.

    Schema 2: p is null where there is no test, intervals leave 0 out where the test does. ``verdict`` is about
    accuracy, ``graded_verdict`` about the graded signal, null where it was not measured.
    """
    return {
        "schema": 2, "settings": dataclasses.asdict(settings), "exit_code": code,
        "comparisons": [
            {
                "base": pair.base.label, "other": pair.other.label, "folders": [pair.base.folder, pair.other.folder],
                "verdict": text, "notes": list(pair.notes), **without_nan(dataclasses.asdict(one)),
                "could_find": _found(could), "graded_verdict": signal, "could_find_nats": _fall(one, settings),
            }
            for pair, one, text, signal, could in zip(matched, results, verdicts, told, resolutions, strict=True)
        ],
    }
