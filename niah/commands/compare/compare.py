"""The verb ``compare``: what it prints, what it writes and its exit code."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from niah import config as configuration
from niah.commands.compare.pairs import CompareSettings, Pair, answers, is_regression, measure, pairs, sides
from niah.commands.report import make, without_nan, write
from niah.commands.words import changes, folder_arguments, together
from niah.report.settings import ReportSettings
from niah.runs import sweeps
from niah.stats.compared import Comparison, pooled

_SHOWN = 5
"""Discordant trials printed; all are in discordant.jsonl."""


def main(words: list[str]) -> int:
    """Exit code of ``compare A B [C ...] [compare.key=...]``: 2 for a regression."""
    paths, rest = folder_arguments("compare", words)
    lines, code = compare(paths, rest)
    print(*lines, sep="\n")
    return code


def compare(paths: Sequence[str], words: Sequence[str]) -> tuple[list[str], int]:
    """What to print and the exit code: 2 for the regression that ``compare.fail_on`` asks about, else 0."""
    from niah.report import difference

    changed = changes("compare", words, ("compare", "report"))
    settings, _ = configuration.typed("compare", CompareSettings, changed.get("compare", {}))
    look, _ = configuration.typed("report", ReportSettings, {"formats": ["png", "svg", "pdf"], **changed.get("report", {})})
    given, paths = paths, sweeps.runs_below(paths)
    found, notes = sides(paths, settings, given)
    matched = pairs(found, settings)
    results = measure(matched, settings)
    lines, verdicts = [f"note: {note}" for note in notes], []
    for pair, one in zip(matched, results, strict=True):
        told, verdict = _told(pair, one, settings)
        lines += [*told, verdict]
        verdicts.append(verdict)
    code = 2 if is_regression(results, settings) else 0
    if code:
        lines.append(f"regression (compare.fail_on={settings.fail_on}): exit code 2")
    folder = make(Path(settings.out) if settings.out else (Path(given[0]) if list(given) != paths and len(given) == 1 else together("compare", given)))
    discordant = [trial for pair in matched if pair.is_paired for trial in _discordant(pair)]
    lines += _listed(discordant, folder)
    write(folder / "discordant.jsonl", "".join(json.dumps(trial, ensure_ascii=False) + "\n" for trial in discordant))
    write(folder / "compare.json", json.dumps(_content(settings, matched, results, verdicts, code), indent=2, ensure_ascii=False) + "\n")
    first = found[0]
    model = first.record.model_label or first.columns.model[0]
    title = f"{model}, {', '.join(dict.fromkeys(first.columns.task.tolist()))}"
    named = [(pair.other.label, one) for pair, one in zip(matched, results, strict=True)]
    files = difference.draw(named, first.label, f"{title}: difference to {first.label}", settings.confidence, folder, look)
    return lines + [f"difference: {file}" for file in files], code


def _told(pair: Pair, one: Comparison, settings: CompareSettings) -> tuple[list[str], str]:
    from niah.report import verdict

    base, other = pair.base.label, pair.other.label
    how = "of the same length, depth and repeat" if settings.across == "model" else "of the same prompt"
    counts = f"{one.overall.num_pairs} pairs {how}, {one.overall.num_repeats} repeats" if one.is_paired else "not paired"
    lines = [f"{other} against {base} (baseline): {counts}", *(f"note: {note}" for note in pair.notes)]
    if changed := _changed(pair):
        lines.append(f"what differs: {'; '.join(changed)}")
    lines += verdict.table(one, base, other, settings.confidence)
    lines += verdict.signal_table(one, settings.confidence)
    lines += [f"note: {note}" for note in verdict.caveats(one, settings.confidence)]
    a, b = answers(pair.a), answers(pair.b)
    text = verdict.sentence(
        one, base, other, lambda lengths, level: pooled(a, b, one.is_paired, lengths, level), settings.confidence, settings.margin
    )
    return lines, text


def _changed(pair: Pair) -> list[str]:
    """Settings and versions that differ between two folders; for variants of one folder their names say it."""
    if pair.base.folder == pair.other.folder:
        return []
    told = []
    flat = [configuration.flat(side.record.without(configuration.PLACE_ONLY)) for side in (pair.base, pair.other)]
    packages = [{f"version of {k}": v for k, v in side.record.environment.packages.items()} for side in (pair.base, pair.other)]
    for old, new in (flat, packages):
        told += [f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return told


def _discordant(pair: Pair) -> list[dict[str, Any]]:
    """Pairs whose scores differ, losses first, longest first; each with the command that shows what the model saw."""
    a, b = pair.a, pair.b
    shift = b.score - a.score
    places = [int(k) for k in np.flatnonzero(np.abs(shift) > 1e-9)]
    places.sort(key=lambda k: (shift[k] > 0, -a.length[k], a.depth[k], a.repeat[k]))
    return [
        {
            "change": "lost" if shift[k] < 0 else "gained", "length": int(a.length[k]), "depth": float(a.depth[k]),
            "repeat": int(a.repeat[k]),
            **{
                name: {
                    "run": side.label, "trial": int(rows.trial[k]), "score": float(rows.score[k]), "answer": rows.answer[k],
                    "show": f"python -m niah show {side.folder} --trial {rows.trial[k]}",
                }
                for name, side, rows in (("base", pair.base, a), ("other", pair.other, b))
            },
        }
        for k in places
    ]


def _listed(discordant: list[dict[str, Any]], folder: Path) -> list[str]:
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


def _content(
    settings: CompareSettings, matched: list[Pair], results: list[Comparison], verdicts: list[str], code: int
) -> dict[str, Any]:
    """Everything printed, as data: accuracies and differences as shares, signals in nats."""
    return {
        "schema": 1, "settings": dataclasses.asdict(settings), "exit_code": code,
        "comparisons": [
            {
                "base": pair.base.label, "other": pair.other.label, "folders": [pair.base.folder, pair.other.folder],
                "verdict": text, "notes": list(pair.notes), **without_nan(dataclasses.asdict(one)),
            }
            for pair, one, text in zip(matched, results, verdicts, strict=True)
        ],
    }
