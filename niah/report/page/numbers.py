"""report.json: every number of a report as data. The page draws it, pandas reads it; docs/report.md describes it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from niah import __version__
from niah.records import Outcome, Row, RunRecord
from niah.report import labels
from niah.report.accuracy import with_interval
from niah.report.length_note import length_note
from niah.report.page.plan import beside_measured
from niah.report.panel import Panel
from niah.report.ruler_formats import foot
from niah.report.ruler_table import Line, Table
from niah.scorers import VERSION
from niah.stats import acceptance, beside, effective_length
from niah.stats.cells import CONFIDENCE, CellStats, by_cell, by_length, mean_logprob, overall
from niah.stats.comparison import MIN_REPEATS, Comparison, Difference
from niah.stats.computed_tokens import of_sessions
from niah.stats.effective_length import RULER, EffectiveLength
from niah.units import format_count, format_length

SCHEMA = 1
"""Of report.json: raised where a field changes its meaning or goes. New fields come without."""
_DIGITS = 6
_MAX_NAMED = 4
"""Models that a title has by their names."""
_MUCH_REPEATED = 0.05
"""Share of a context that repeats from which a page says so."""


@dataclass(frozen=True)
class Shown:
    """A run or a variant of it on a page.

    ``folder`` is its run folder as a command names it, ``sweep`` the sweep that it is of where several are shown.
    ``control`` is the sentence about its control sample, ``crosscheck`` that about a second engine, empty without one.
    ``calibration`` is ``calibrated`` (verified, failed, not run) in sentences. ``not_begun`` are variants of the same
    run that have no row yet.
    """

    panel: Panel
    folder: str
    variant: str = ""
    control: str = ""
    sweep: str = ""
    crosscheck: str = ""
    calibrated: str = "not run"
    calibration: tuple[str, ...] = ()
    not_begun: tuple[str, ...] = ()

    @property
    def rows(self) -> Sequence[Row]:
        return self.panel.rows


@dataclass(frozen=True)
class Compared:
    """A comparison of two of the runs shown, by their places; ``sentence`` is its verdict in words."""

    base: int
    other: int
    found: Comparison = field(repr=False)
    sentence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extra:
    """A table that only one verb has. ``columns`` are names, each with what its values are: text, length (tokens),
    count, share (0 to 1), points (a share shown as points, with its sign), p, nats. None where there is no value."""

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: Sequence[Sequence[Any]] = field(repr=False)
    notes: tuple[str, ...] = ()


def content(
    shown: Sequence[Shown], compared: Sequence[Compared] = (), threshold: float | None = None,
    sentences: Sequence[str] = (), title: str = "", look: Mapping[str, Any] | None = None,
    ruler: Sequence[Table] = (), tables: Sequence[Extra] = (),
) -> dict[str, Any]:
    """All of report.json. ``threshold`` is the user's own share of right answers; ``sentences`` stand above all;
    ``look`` are the settings of the report, ``ruler`` RULER's tables where the runs are its settings, ``tables`` the
    verb's own."""
    runs = [of_run(one, threshold) for one in shown]
    return {
        "schema": SCHEMA, "niah": __version__, "scorer_rules": VERSION, "confidence": CONFIDENCE,
        "title": title or _title([*dict.fromkeys(run["model"] for run in runs)]),
        "sentences": list(sentences) or [run["sentence"] for run in runs[:1]],
        "warnings": _warnings(shown),
        "thresholds": [
            {"name": "RULER", "accuracy": RULER},
            *([{"name": "yours", "accuracy": threshold}] if threshold is not None else []),
        ],
        "report": dict(look or {}),
        "runs": runs,
        "comparisons": [_comparison(one) for one in compared],
        "ruler": [_ruler(one) for one in ruler],
        "tables": [_extra(one) for one in tables],
    }


def _title(models: Sequence[str]) -> str:
    """The models, few of them by name."""
    if len(models) <= _MAX_NAMED:
        return ", ".join(models)
    return f"{', '.join(models[:_MAX_NAMED])} and {len(models) - _MAX_NAMED} more models"


def of_run(one: Shown, threshold: float | None) -> dict[str, Any]:
    """A run or variant: what it is, its cells, lengths and effective lengths. Shares are 0 to 1, seconds wall-clock."""
    record, rows = one.panel.record, one.rows
    summary = effective_length.summary(rows, threshold, CONFIDENCE)
    engine = record.engines.get(one.variant, record.engine)
    together, drafts = overall(rows), acceptance.by_length(acceptance.of_rows(rows))
    others = beside.by_length(rows)
    return {
        "label": one.panel.label or record.name or one.folder, "folder": one.folder, "variant": one.variant,
        "name": record.name, "model": record.model_title, "task": record.task_title, "haystack": record.haystack,
        "reader": record.reader, "scorer": record.scorer,
        "ruler_setting": (record.config.get("ruler") or {}).get("setting"),
        "sweep": one.sweep,
        "kv_cache_dtype": rows[0].kv_cache_dtype if rows else record.kv_dtype,
        "spec": rows[0].spec if rows else "",
        "engine": record.engine_name, "engine_facts": dict(engine.facts), "hardware": record.environment.hardware,
        "environment": _environment(one), "has_depth": record.scope.has_depth,
        "answer_tokens": record.scope.answer_tokens,
        "num_planned": record.scope.num_trials or len(rows), "num_rows": len(rows), "num_answers": together.n,
        "num_repeats": len({row.repeat for row in rows}), "outcomes": dict(Counter(row.outcome for row in rows)),
        "sentence": sentence(one, summary),
        "length_note": length_note(rows), "control": one.control,
        "calibrated": "verified" if record.calibration and not one.calibration else one.calibrated,
        "calibration": [*record.calibration, *one.calibration], "crosscheck": one.crosscheck,
        "repeated_share": _number(max((row.repeated_share for row in rows), default=0.0)),
        "overall": {
            **_cell(together), **_accepted(acceptance.together(drafts.values())), **_beside(beside.means(rows)),
        },
        "lengths": [
            {**_cell(cell), **_accepted(drafts.get(cell.length)), **_beside(others.get(cell.length, {}))}
            for cell in by_length(rows)
        ],
        "cells": _cells(rows),
        "effective_lengths": [_effective(found) for found in summary.effective] if summary else [],
        "area": _area(summary),
        "prompt_tokens": _prompt_tokens(record, one.variant),
        "costs": _costs(rows), "plan": beside_measured(record, one.variant),
        "settings": {key: value for key, value in record.config.items() if key != "report"},
        "sources": {
            "tokenizer_sha256": record.sources.tokenizer_sha256, "haystack_sha256": record.sources.haystack_sha256,
        },
        "fingerprint": record.fingerprint,
        "sessions": [{"started": one.started, "finished": one.finished} for one in record.sessions],
    }


def _prompt_tokens(record: RunRecord, variant: str) -> dict[str, Any] | None:
    """Those sent, computed and needed at least, and what a run says of them; None where no engine told."""
    found = of_sessions(record.sessions).get(variant or (record.scope.variants or [""])[0])
    if found is None or not found.sent:
        return None
    return {
        "sent": found.sent, "computed": found.computed, "needed": found.needed, "ratio": _number(found.ratio),
        "sentence": found.sentence(),
    }


def sentence(one: Shown, summary: effective_length.Summary | None) -> str:
    """What a run found, in words, with what limits it."""
    rows, record = one.rows, one.panel.record
    together = overall(rows)
    label = one.panel.label
    name = label if record.model_title in label else record.model_title + (f" ({label})" if label else "")
    if not together.n or summary is None:
        return f"{name}: no trial has an answer yet."
    interval = f"[{together.low:.2f}, {together.high:.2f}]"
    parts = [
        f"{name}: {together.mean:.2f} of {format_count(together.n, 'answer')} right {interval}, "
        f"{_span(summary.lengths)}"
    ]
    ruler = summary.effective[0]
    if len(summary.lengths) > 1:
        parts.append(f"effective length by RULER's 85.6%: {with_interval(ruler)}")
    if summary.num_repeats == 1:
        parts.append("one needle in one text: the interval says nothing about others")
    elif summary.num_repeats < MIN_REPEATS:
        parts.append(f"{summary.num_repeats} repeats say little about other needles and texts")
    return "; ".join(parts) + "."


def _span(lengths: Sequence[int]) -> str:
    ends = dict.fromkeys(format_length(length) for length in (lengths[0], lengths[-1]))
    return " to ".join(ends) + " tokens"


def _warnings(shown: Sequence[Shown]) -> list[str]:
    """What a reader has to know before any number; once, where it is so of all."""
    lines = labels.made_up_lines([(one.panel.label, one.panel.record.engine_name) for one in shown])
    of_each = [_warnings_of(one) for one in shown]
    said = Counter(text for own in of_each for text in own)
    lines += [text for text, num in said.items() if num == len(shown)]
    for one, own in zip(shown, of_each, strict=True):
        name = f"{one.panel.label}: " if one.panel.label else ""
        lines += [f"{name}{text}" for text in own if said[text] < len(shown)]
    return lines


def _warnings_of(one: Shown) -> list[str]:
    rows, lines = one.rows, []
    planned = one.panel.record.scope.num_trials or len(rows)
    if len(rows) < planned:
        lines.append(f"{len(rows):,} of {planned:,} trials so far")
    lines += [f"{name}: 0 of {planned:,} trials so far" for name in one.not_begun]
    if num_failed := sum(row.score is None and row.outcome != Outcome.DOES_NOT_FIT for row in rows):
        lines.append(f"{num_failed:,} trials ended without an answer, and are in no figure")
    if note := length_note(rows):
        lines.append(note)
    if rows and len({row.repeat for row in rows}) == 1:
        lines.append("one repeat: each cell is one coin toss, seen once (ctx.repeats)")
    share = max((row.repeated_share for row in rows), default=0.0)
    if share > _MUCH_REPEATED:
        lines.append(f"up to {share:.0%} of a context is text that stands in it before")
    return lines


def _environment(one: Shown) -> dict[str, Any]:
    found = one.panel.record.environment
    return {
        "niah": found.niah, "git_commit": found.git_commit, "python": found.python, "platform": found.platform,
        "packages": dict(found.packages),
    }


def _cells(rows: Sequence[Row]) -> list[dict[str, Any]]:
    logprobs, seconds = mean_logprob(rows), _mean_seconds(rows)
    return [
        {**_cell(cell), "logprob": _number(logprobs.get(place)), "seconds": _number(seconds.get(place))}
        for place, cell in by_cell(rows).items()
    ]


def _cell(cell: CellStats) -> dict[str, Any]:
    return {
        **({"length": cell.length} if cell.length else {}),
        **({"depth": cell.depth} if cell.depth is not None else {}),
        "accuracy": _number(cell.mean), "low": _number(cell.low), "high": _number(cell.high), "n": cell.n,
        "errors": cell.errors, "outcomes": cell.outcomes,
    }


def _accepted(found: acceptance.Acceptance | None) -> dict[str, Any]:
    """What a model took of the tokens that were drafted for it; nothing where nothing was, or nobody told."""
    if found is None:
        return {}
    return {
        "drafts": found.num_drafts, "draft_tokens": found.num_draft_tokens,
        "accepted_tokens": found.num_accepted_tokens, "mean_acceptance_length": _number(found.mean_length),
    }


def _beside(means: Mapping[str, float]) -> dict[str, Any]:
    """What a scorer measured beside the score; nothing where it measures nothing else."""
    return {"beside": {name: _number(value) for name, value in means.items()}} if means else {}


def _mean_seconds(rows: Sequence[Row]) -> dict[tuple[int, float], float]:
    sums: dict[tuple[int, float], list[float]] = {}
    for row in rows:
        if row.score is not None:
            sums.setdefault((row.length, row.depth), []).append(row.seconds)
    return {place: sum(values) / len(values) for place, values in sums.items()}


def _effective(one: EffectiveLength) -> dict[str, Any]:
    return {**asdict(one), "text": with_interval(one)}


def _area(summary: effective_length.Summary | None) -> dict[str, Any] | None:
    if summary is None or len(summary.lengths) < 2:
        return None
    return {"area": _number(summary.area), "low": _number(summary.area_low), "high": _number(summary.area_high)}


def _costs(rows: Sequence[Row]) -> dict[str, Any]:
    """What the trials took: tokens as the engine counted them, seconds of all requests one after the other."""
    return {
        "prompt_tokens": sum(row.num_prompt_tokens for row in rows),
        "cached_tokens": sum(row.num_cached_tokens or 0 for row in rows),
        "completion_tokens": sum(row.num_completion_tokens for row in rows),
        "seconds": _number(sum(row.seconds for row in rows)),
    }


def _extra(one: Extra) -> dict[str, Any]:
    return {
        "title": one.title, "columns": [{"name": name, "kind": kind} for name, kind in one.columns],
        "rows": [[_number(value) if isinstance(value, float) else value for value in row] for row in one.rows],
        "notes": list(one.notes),
    }


def _ruler(one: Table) -> dict[str, Any]:
    """RULER's table in points: its lines, means and effective lengths, and what limits it."""
    return {
        "title": one.title, "lengths": list(one.lengths), "lines": [_scores(line) for line in one.settings],
        "mean": _scores(one.mean) if one.counted else None, "weighted": [_scores(line) for line in one.weighted],
        "effective_lengths": [_effective(found) for found in one.effective], "notes": foot(one),
    }


def _scores(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "scores": [
            None if score is None else {
                "mean": _number(score.mean), "low": _number(score.low), "high": _number(score.high),
                "samples": score.num_samples,
            } for score in line.scores
        ],
    }


def _comparison(one: Compared) -> dict[str, Any]:
    return {
        "base": one.base, "other": one.other, "sentence": one.sentence, "notes": list(one.notes),
        "is_paired": one.found.is_paired, "overall": _difference(one.found.overall),
        "lengths": [_difference(found) for found in one.found.lengths],
        "cells": [_difference(found) for found in one.found.cells],
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "lengths": list(one.lengths), **({"depth": one.depth} if one.depth is not None else {}),
        "pairs": one.num_pairs, "repeats": one.num_repeats, "base": _number(one.base), "other": _number(one.other),
        "difference": _number(one.difference), "low": _number(one.low), "high": _number(one.high),
        "lost": one.num_lost, "gained": one.num_gained, "p": _number(one.p), "holm_p": _number(one.adjusted_p),
        "test": one.decided_by, "is_significant": one.is_significant(CONFIDENCE),
    }


def _number(value: float | None) -> float | None:
    """Six digits behind the point; None where JSON has no such number."""
    return None if value is None or not math.isfinite(value) else round(value, _DIGITS)
