"""From run folders to pairs: which runs can be compared, and which of their trials belong together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from niah.errors import NiahError
from niah.records import RunRecord
from niah.runs import store
from niah.runs.columns import Columns
from niah.stats.compared import Answers, Comparison, compared

FAIL_ON = ("worse", "not_noninferior")


@dataclass(frozen=True)
class CompareSettings:
    """``margin`` and ``confidence`` are shares; ``fail_on`` decides about exit code 2, ``across`` what may differ."""

    margin: float = 0.02
    confidence: float = 0.95
    fail_on: str | None = None
    across: str | None = None
    variant: str | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise NiahError(
                f"compare.margin: got {self.margin:g}; expected a share of right answers between 0 and 1, as 0.02 for 2 points"
            )
        if not 0.5 <= self.confidence < 1:
            raise NiahError(f"compare.confidence: got {self.confidence:g}; expected 0.5 to below 1, as 0.95")
        if self.fail_on is not None and self.fail_on not in FAIL_ON:
            raise NiahError(f"compare.fail_on: got {self.fail_on!r}; expected {' or '.join(FAIL_ON)}, or null")
        if self.across not in (None, "model"):
            raise NiahError(f"compare.across: got {self.across!r}; expected model, or null")


@dataclass(frozen=True)
class Side:
    """One run, or one variant of a run, with answers."""

    label: str
    folder: str
    variant: str
    record: RunRecord = field(repr=False)
    columns: Columns = field(repr=False)


@dataclass(frozen=True)
class Pair:
    """Two sides, their trials picked: ``a`` and ``b`` are rows of the same prompt where ``is_paired``."""

    base: Side
    other: Side
    is_paired: bool
    a: Columns = field(repr=False)
    b: Columns = field(repr=False)
    notes: tuple[str, ...] = ()


def sides(paths: list[str], settings: CompareSettings, given: Sequence[str] = ()) -> tuple[list[Side], list[str]]:
    """All sides, the baseline first, and what a reader should know about the files.

    ``given`` is what was named, where ``paths`` has the runs of a sweep's folder: of these, one without rows is left out.
    """
    found, notes = [], []
    for path in paths:
        folder, record = store.opened(path)
        if folder.is_torn():
            notes.append(f"{path}: the last line of rows.jsonl is torn and was left out; the run's own command mends it")
        variants = folder.columns().variants()
        if not variants:
            if not given or path in given:
                raise NiahError(f"{path}: no finished trial yet; run it first")
            notes.append(f"{path}: no finished trial yet; left out")
            continue
        if settings.variant is not None:
            if settings.variant not in variants:
                raise NiahError(
                    f"compare.variant: {path} has no variant {settings.variant!r}; expected one of {', '.join(variants)}"
                )
            variants = {settings.variant: variants[settings.variant]}
        for variant, columns in variants.items():
            _check(columns, path, variant)
            found.append(Side(_label(path, paths, variant, len(variants) > 1), path, variant, record, columns))
    if len(found) < 2:
        one = f"only one run ({found[0].folder})" if found else f"no run with a finished trial ({', '.join(given)})"
        raise NiahError(f"compare: {one}; expected two folders, or one with several variants, as compare A B")
    return found, notes


def pairs(found: list[Side], settings: CompareSettings) -> list[Pair]:
    """Every other side with the first. Raises NiahError where two have nothing in common."""
    return [_pair(found[0], other, settings) for other in found[1:]]


def measure(matched: list[Pair], settings: CompareSettings) -> list[Comparison]:
    """The statistics of all pairs."""
    return compared([(answers(pair.a), answers(pair.b), pair.is_paired) for pair in matched], settings.confidence)


def is_regression(found: list[Comparison], settings: CompareSettings) -> bool:
    """What ``fail_on`` asks for: a significant loss, overall or at a length; or a loss of the margin not ruled out.

    Non-inferiority is asked of every length (an intersection-union test, Berger 1982, Technometrics 24: no adjustment).
    """
    if settings.fail_on == "worse":
        return any(d.difference < 0 and d.is_significant(settings.confidence) for one in found for d in (one.overall, *one.lengths))
    if settings.fail_on == "not_noninferior":
        return not all(d.is_noninferior(settings.margin) for one in found for d in one.lengths)
    return False


def answers(columns: Columns) -> Answers:
    return Answers(columns.length, columns.depth, columns.repeat, columns.score, columns.logprob)


def _label(path: str, paths: list[str], variant: str, has_several: bool) -> str:
    names = [Path(one).resolve().name for one in paths]
    own = Path(path).resolve().name
    name = path.rstrip("/") if names.count(own) > 1 else own
    if not has_several:
        return name
    return variant if len(paths) == 1 else f"{name}/{variant}"


def _check(columns: Columns, path: str, variant: str) -> None:
    where = f"{path}{f' ({variant})' if variant else ''}"
    trials, counts = np.unique(columns.trial, return_counts=True)
    if (counts > 1).any():
        twice = trials[counts > 1]
        raise NiahError(
            f"{where}: {len(twice)} trials have several rows, first trial {twice[0]}; expected one row a trial; "
            "was rows.jsonl copied together? delete the surplus lines"
        )
    if not columns.answered.any():
        outcomes, numbers = np.unique(columns.outcome.astype(str), return_counts=True)
        told = ", ".join(f"{number} {name}" for name, number in zip(outcomes, numbers, strict=True))
        raise NiahError(f"{where}: no trial has an answer ({told}); expected answers; see its engine.log, then run it again")


def _pair(base: Side, other: Side, settings: CompareSettings) -> Pair:
    models = [set(side.columns.model.tolist()) for side in (base, other)]
    if models[0] != models[1] and settings.across != "model":
        raise NiahError(
            f"compare: different models, {base.label} has {', '.join(sorted(models[0]))} and {other.label} "
            f"{', '.join(sorted(models[1]))}; expected one; compare.across=model compares them all the same"
        )
    if settings.across == "model":
        notes = ["paired by length, depth and repeat across models: prompts may differ in text, and lengths are each model's own tokens"]
        found = _match(base, other, ("task", "length", "depth", "repeat"))
    else:
        notes = []
        found = _match(base, other, ("prompt_sha256", "task", "length", "depth", "repeat"))
    a, b, num_missing = found
    if len(a):
        if num_missing:
            notes.append(f"{num_missing} trials have no answer to the same prompt in the other run and were left out")
        return Pair(base, other, True, a, b, tuple(notes))
    a, b = (side.columns.where(side.columns.answered) for side in (base, other))
    common = {*zip(a.task.tolist(), a.length.tolist(), strict=True)} & {*zip(b.task.tolist(), b.length.tolist(), strict=True)}
    if not common:
        raise NiahError(
            f"compare: {base.label} and {other.label} have nothing in common: {_grid(a)} against {_grid(b)}; "
            "expected a task and a length that both have"
        )
    a, b = (
        side.where(np.fromiter(((t, n) in common for t, n in zip(side.task, side.length, strict=True)), bool, len(side)))
        for side in (a, b)
    )
    notes.append(
        "NO COMMON PROMPTS: the two runs asked different things, so this is an unpaired comparison, which sees far less; "
        "equal seed, haystack, task, lengths and depths give equal prompts"
    )
    return Pair(base, other, False, a, b, tuple(notes))


def _grid(columns: Columns) -> str:
    lengths = ", ".join(f"{length:,}" for length in np.unique(columns.length).tolist()[:8])
    return f"{', '.join(sorted(set(columns.task.tolist())))} at {lengths}"


def _match(base: Side, other: Side, key: tuple[str, ...]) -> tuple[Columns, Columns, int]:
    """Answered rows of both, in the same order, and how many of the answered ones have no partner."""
    places = []
    for side in (base, other):
        columns = side.columns
        answered = np.flatnonzero(columns.answered)
        values = zip(*(getattr(columns, name)[answered].tolist() for name in key), strict=True)
        places.append(dict(zip(values, answered.tolist(), strict=True)))
    common = [one for one in places[0] if one in places[1]]
    rows = [np.array([place[one] for one in common], dtype=np.int64) for place in places]
    num_missing = len(places[0].keys() ^ places[1].keys())
    return base.columns.where(rows[0]), other.columns.where(rows[1]), num_missing
