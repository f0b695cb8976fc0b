"""From run folders to pairs: which runs can be compared, and which of their trials belong together."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from niah.errors import NiahError
from niah.limits import check, limited, one_of
from niah.records import RunRecord
from niah.report import graded, labels
from niah.runs import store
from niah.runs.columns import Columns
from niah.stats.comparison import Answers, Comparison, comparisons


@dataclass(frozen=True)
class CompareSettings:
    """``margin`` and ``confidence`` are shares; ``fail_on`` decides about exit code 2, ``across`` what may differ: the
    model, or the protocol (ctx.share) and with it the task.

    ``primary`` is the question that decides, to be declared before a run: right and wrong, or the log-probability of
    the right answer with right and wrong after it (``report.graded``).
    """

    margin: float = limited(
        0.02, above=0, below=1, expected="a share of right answers between 0 and 1", example="0.02 for 2 points"
    )
    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")
    fail_on: str | None = one_of("worse", "not_noninferior", default=None)
    across: str | None = one_of("model", "share", default=None)
    primary: str = one_of(graded.ACCURACY, graded.GRADED)
    variant: str | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        check(self, "compare")


@dataclass(frozen=True)
class Side:
    """One run, or one variant of a run, with answers; ``opened`` is its folder."""

    label: str
    folder: str
    variant: str
    record: RunRecord = field(repr=False)
    columns: Columns = field(repr=False)
    opened: store.RunFolder = field(repr=False)


@dataclass(frozen=True)
class Pair:
    """Two sides, their trials picked: ``a`` and ``b`` are rows of the same prompt where ``is_paired``."""

    base: Side
    other: Side
    is_paired: bool
    a: Columns = field(repr=False)
    b: Columns = field(repr=False)
    notes: tuple[str, ...] = ()


def sides(
    paths: Sequence[str], settings: CompareSettings, given: Sequence[str] = ()
) -> tuple[list[Side], list[str]]:
    """All sides, the baseline first, and what a reader should know about the files.

    ``given`` is what was named, where ``paths`` has the runs of a sweep's folder: of these, one without rows is left
    out. Raises NiahError where there are no two sides.
    """
    found, notes = gathered(paths, settings, given)
    found, twice = _apart(found)
    if len(found) < 2 and twice:
        raise NiahError(f"compare: {twice[0]}: there is no difference to judge; expected two runs, as compare A B")
    notes += [f"{text}; left out" for text in twice]
    if len(found) < 2:
        one = f"only one run ({found[0].folder})" if found else f"no run with a finished trial ({', '.join(given)})"
        raise NiahError(f"compare: {one}; expected two folders, or one with several variants, as compare A B")
    return found, notes


def gathered(
    paths: Sequence[str], settings: CompareSettings, given: Sequence[str] = ()
) -> tuple[list[Side], list[str]]:
    """As ``sides``, however many there are."""
    found: list[Side] = []
    notes: list[str] = []
    for path, name in zip(paths, labels.of_folders(paths), strict=True):
        folder, record = store.opened(path, needs_settings=False)
        if folder.is_torn():
            notes.append(
                f"{path}: the last line of rows.jsonl is torn and was left out; the run's own command mends it"
            )
        variants = folder.columns().variants()
        if not variants:
            if not given or path in given:
                raise NiahError(f"{path}: no finished trial yet; run it first")
            notes.append(f"{path}: no finished trial yet; left out")
            continue
        if settings.variant is not None:
            if settings.variant not in variants:
                raise NiahError(
                    f"compare.variant: {path} has no variant {settings.variant!r}; "
                    f"expected one of {', '.join(variants)}"
                )
            variants = {settings.variant: variants[settings.variant]}
        for variant, columns in variants.items():
            _check(columns, path, variant)
            own = "" if len(paths) == 1 else name  # of one run alone the variants say which
            label = labels.of_variant(own, variant) if len(variants) > 1 else name
            found.append(Side(label, path, variant, record, columns, folder))
    if len(rules := {side.record.scorer_version for side in found}) > 1:
        notes.append(
            f"judged by different rules of scoring ({', '.join(map(str, sorted(rules)))}): niah rescore "
            f"{' '.join(dict.fromkeys(side.folder for side in found))} judges all by today's"
        )
    return found, notes


def _apart(found: Sequence[Side]) -> tuple[list[Side], list[str]]:
    """Without those that are an earlier side once more, and a line for each of these.

    Rows hold measured times: two runs of one command never have equal ones, a copied folder has. engine=fake measures
    none; its copies have one run.json.
    """
    contents = _contents(dict.fromkeys(side.folder for side in found))
    first: dict[tuple[str, Path | tuple[str, ...]], Side] = {}
    kept: list[Side] = []
    twice: list[str] = []
    for side in found:
        place, content = Path(side.folder).resolve(), contents.get(side.folder)
        if (side.variant, place) in first:
            twice.append(f"{side.folder} is named twice")
        elif content and (same := first.get((side.variant, content))):
            twice.append(
                f"{side.folder} is a copy of {same.folder}, its rows are the same to the last measured time"
            )
        else:
            kept.append(side)
            first[side.variant, place] = side
            if content:
                first[side.variant, content] = side
    return kept, twice


def is_copy(first: str, second: str) -> bool:
    """Whether two folders hold one run."""
    contents = _contents((first, second))
    return Path(first).resolve() == Path(second).resolve() or (
        first in contents and contents[first] == contents.get(second)
    )


def _contents(folders: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Digests that a folder has in common with its copies alone, of those that may have one: their rows are as many
    bytes as another's."""
    files = {folder: Path(folder) / "rows.jsonl" for folder in folders}
    sizes = {folder: file.stat().st_size for folder, file in files.items() if file.is_file()}
    num = Counter(sizes.values())
    has_times: dict[str, bool] = {}
    found: dict[str, tuple[str, ...]] = {}
    for folder in (folder for folder in sizes if num[sizes[folder]] > 1):
        rows, settings = _digest(files[folder]), Path(folder) / "run.json"
        if rows not in has_times:
            has_times[rows] = any(row.seconds for row in store.RunFolder(Path(folder)).rows())
        if has_times[rows]:
            found[folder] = (rows,)
        elif settings.is_file():
            found[folder] = (rows, _digest(settings))
    return found


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def pairs(found: Sequence[Side], settings: CompareSettings) -> list[Pair]:
    """Every other side with the first. Raises NiahError where two have nothing in common."""
    return [pair_of(found[0], other, settings) for other in found[1:]]


def measure(matched: Sequence[Pair], settings: CompareSettings) -> list[Comparison]:
    """The statistics of all pairs. Raises NiahError where the graded signal is to decide and a pair has none."""
    found = comparisons([(answers(pair.a), answers(pair.b), pair.is_paired) for pair in matched], settings.confidence)
    for pair, one in zip(matched, found, strict=True):
        if settings.primary == graded.GRADED and not one.signal:
            raise NiahError(
                f"compare.primary: got graded, but {pair.base.label} and {pair.other.label} have no log-probability of "
                "the right answer to a prompt of both; expected runs that measured it; run them with engine.graded=true"
            )
    return found


def is_regression(found: Sequence[Comparison], settings: CompareSettings) -> bool:
    """What ``fail_on`` asks for: a significant loss, overall or at a length; or a loss of the margin not ruled out.

    Non-inferiority is asked of every length (an intersection-union test, Berger 1982, Technometrics 24: no adjustment),
    and of accuracy whatever ``primary`` is.
    """
    if settings.fail_on == "worse":
        return any(_is_worse(one, settings) for one in found)
    if settings.fail_on == "not_noninferior":
        return not all(one.is_noninferior(settings.margin) for comparison in found for one in comparison.lengths)
    return False


def _is_worse(found: Comparison, settings: CompareSettings) -> bool:
    """By what ``primary`` declares: the graded signal first, and then accuracy only where that has changed."""
    is_graded, confidence = settings.primary == graded.GRADED, settings.confidence
    signals = [*([found.signal] if found.signal else []), *found.signal_lengths] if is_graded else []
    if any(one.mean < 0 and one.is_significant(confidence) for one in signals):
        return True
    differences = () if is_graded and not graded.has_gate(found, confidence) else (found.overall, *found.lengths)
    return any(one.difference < 0 and one.is_significant(confidence) for one in differences)


def answers(columns: Columns) -> Answers:
    return Answers(columns.length, columns.depth, columns.repeat, columns.score, columns.logprob)


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
        counted = ", ".join(f"{number} {name}" for name, number in zip(outcomes, numbers, strict=True))
        raise NiahError(
            f"{where}: no trial has an answer ({counted}); expected answers; see its engine.log, then run it again"
        )


def pair_of(base: Side, other: Side, settings: CompareSettings) -> Pair:
    """Two sides with what belongs together of both. Raises NiahError where they have nothing in common."""
    models = [set(side.columns.model.tolist()) for side in (base, other)]
    if models[0] != models[1] and settings.across != "model":
        raise NiahError(
            f"compare: different models, {base.label} has {', '.join(sorted(models[0]))} and {other.label} "
            f"{', '.join(sorted(models[1]))}; expected one; compare.across=model compares them all the same"
        )
    notes: list[str] = []
    key: tuple[str, ...] = ("task", "length", "depth", "repeat")
    protocols = [side.record.share or "none" for side in (base, other)]
    if protocols[0] != protocols[1] and settings.across != "share":
        raise NiahError(
            f"compare: different protocols, {base.label} has ctx.share={protocols[0]} and {other.label} "
            f"{protocols[1]}; expected one; compare.across=share compares them all the same"
        )
    if settings.across == "share":
        notes.append(
            f"paired by length, depth and repeat across protocols (ctx.share={' and '.join(dict.fromkeys(protocols))}):"
            " prompts differ in their needles, and a context that is shared holds those of all its questions"
        )
        key = ("length", "depth", "repeat")
    elif settings.across == "model":
        notes.append(
            "paired by length, depth and repeat across models: prompts may differ in text, and lengths are each "
            "model's own tokens"
        )
    else:
        key = ("prompt_sha256", *key)
    a, b, num_missing = _match(base, other, key)
    if len(a):
        if num_missing:
            notes.append(f"{num_missing} trials have no answer to the same prompt in the other run and were left out")
        return Pair(base, other, True, a, b, tuple(notes))
    a, b = _same_lengths(base, other)
    notes.append(
        "NO COMMON PROMPTS: the two runs asked different things, so this is an unpaired comparison, which sees far "
        "less; equal seed, haystack, task, lengths and depths give equal prompts"
    )
    return Pair(base, other, False, a, b, tuple(notes))


def _same_lengths(base: Side, other: Side) -> tuple[Columns, Columns]:
    """The answered rows of tasks and lengths that both have. Raises NiahError where there are none."""
    a, b = (side.columns.where(side.columns.answered) for side in (base, other))
    common = {*_cells(a)} & {*_cells(b)}
    if not common:
        raise NiahError(
            f"compare: {base.label} and {other.label} have nothing in common: {_grid(a)} against {_grid(b)}; "
            "expected a task and a length that both have; of a sweep over several tasks compare the runs of one, as "
            "compare outputs/sweep/*-single-*"
        )
    chosen = [np.array([cell in common for cell in _cells(side)], dtype=bool) for side in (a, b)]
    return a.where(chosen[0]), b.where(chosen[1])


def _cells(columns: Columns) -> list[tuple[str, int]]:
    """Task and length of each row."""
    return list(zip(columns.task.tolist(), columns.length.tolist(), strict=True))


def _grid(columns: Columns) -> str:
    lengths = ", ".join(f"{length:,}" for length in np.unique(columns.length).tolist()[:8])
    return f"{', '.join(sorted(set(columns.task.tolist())))} at {lengths}"


def _match(base: Side, other: Side, key: tuple[str, ...]) -> tuple[Columns, Columns, int]:
    """Answered rows of both, in the same order, and how many of the answered ones have no partner."""
    places: list[dict[tuple[Any, ...], int]] = []
    for side in (base, other):
        columns = side.columns
        answered = np.flatnonzero(columns.answered)
        values = zip(*(getattr(columns, name)[answered].tolist() for name in key), strict=True)
        places.append(dict(zip(values, answered.tolist(), strict=True)))
    common = [one for one in places[0] if one in places[1]]
    rows = [np.array([place[one] for one in common], dtype=np.int64) for place in places]
    num_missing = len(places[0].keys() ^ places[1].keys())
    return base.columns.where(rows[0]), other.columns.where(rows[1]), num_missing
