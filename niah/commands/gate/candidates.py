"""What a policy is held against: the runs and variants in a folder, each with its pair in the baseline."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from niah import choices
from niah.commands.compare.pairs import CompareSettings, Pair, Side, measure
from niah.commands.compare.suites import paired
from niah.commands.gate.policy import LOSS, Bound, Policy
from niah.errors import NiahError
from niah.records import Row
from niah.report import labels
from niah.runs import columns, store, sweeps
from niah.runs.ruler import setting_of
from niah.stats.comparison import Comparison
from niah.tasks.ruler import SETTINGS


@dataclass(frozen=True)
class Candidate:
    """One variant of one run. ``label`` tells it from the others; ``tasks`` are the names by which a bound may call
    what it measures. ``pair`` and ``comparison`` are with the baseline, None where that has no like."""

    label: str
    tasks: tuple[str, ...]
    side: Side
    rows: Sequence[Row] = field(repr=False)
    pair: Pair | None = field(default=None, repr=False)
    comparison: Comparison | None = field(default=None, repr=False)

    @property
    def num_planned(self) -> int:
        return self.side.record.scope.num_trials or len(self.rows)

    @property
    def is_fake(self) -> bool:
        return self.side.record.engine_name == "fake"

    def prompts_sha256(self) -> str:
        """Of all that was asked: equal where two runs asked the same prompts."""
        asked = sorted({row.prompt_sha256 for row in self.rows})
        return sha256("\n".join(asked).encode()).hexdigest()


def candidates(policy: Policy, run: str, baseline: str | None) -> tuple[list[Candidate], list[str]]:
    """Those of RUN, paired where the policy bounds a loss; and notes about pairs.

    Raises NiahError where a loss is bounded and there is nothing to compare with, where a bound names a task or a
    variant that is none, and where RUN and BASELINE have no run in common.
    """
    found = _measured(run)
    others: list[Candidate] = []
    if baseline is not None:
        others = _measured(baseline)
    elif policy.baseline:
        others = [one for one in found if one.side.variant == policy.baseline]
        found = [one for one in found if one.side.variant != policy.baseline]
        if not others or not found:
            raise _no_variant(f"{policy.file}: baseline", policy.baseline, [*found, *others], run)
    elif bound := policy.first(LOSS):
        raise NiahError(
            f"{policy.where(bound)}: {LOSS}: there is nothing to compare {run} with; expected gate POLICY RUN "
            "BASELINE, or in the policy baseline: VARIANT, where the run has several"
        )
    _check_names(policy, found, run)
    if policy.first(LOSS) is None:
        return found, []
    if policy.baseline and baseline is not None:
        several, others = others, [one for one in others if one.side.variant == policy.baseline]
        if not others:
            raise _no_variant(f"{policy.file}: baseline", policy.baseline, several, baseline)
    return _with_pairs(policy, found, others, run, baseline or run)


def _measured(path: str) -> list[Candidate]:
    """Every variant of every run in a folder. Raises NiahError where one of them has no finished trial."""
    runs = sweeps.runs_below([path])
    opened = [store.open_for_reading(one) for one in runs]
    parts = sweeps.labels([record.config for _, record, _ in opened])
    found = []
    for name, (folder, record, rows), own in zip(labels.of_folders(runs), opened, parts, strict=True):
        if not rows:
            raise NiahError(f"{folder.path}: no finished trial yet; run it first")
        setting = setting_of(record.config)
        tasks = tuple(dict.fromkeys([*([setting[0]] if setting else []), record.task]))
        variants = list(dict.fromkeys(row.variant for row in rows))
        for variant in variants:
            mine = [row for row in rows if row.variant == variant]
            shown = [setting[0] if setting else record.task_title, *own, variant if len(variants) > 1 else ""]
            side = Side(
                labels.of_variant(name, variant) if len(variants) > 1 else name, str(folder.path), variant, record,
                columns.of_rows(mine), folder,
            )
            found.append(Candidate(" ".join(dict.fromkeys(filter(None, shown))), tasks, side, mine))
    return found


def _with_pairs(
    policy: Policy, found: Sequence[Candidate], others: Sequence[Candidate], run: str, baseline: str
) -> tuple[list[Candidate], list[str]]:
    """The candidates with what compare finds of each, those of a run together where it corrects for several."""
    groups = [[*found]]
    if policy.baseline:  # each variant with the same one
        groups = [[one for one in found if one.side.variant == name] for name in _variants(found)]
    settings: CompareSettings = policy.compare
    pairs: dict[int, Pair] = {}
    notes: list[str] = []
    base = [one.side for one in others if one.side.columns.answered.any()]
    for group in groups:
        sides = [one.side for one in group if one.side.columns.answered.any()]
        if sides and base:
            suite = paired(baseline, run, base, sides, settings)
            notes += suite.notes
            pairs |= {id(pair.other): pair for pair in suite.pairs.values()}
    compared = dict(zip(pairs, measure(list(pairs.values()), settings), strict=True)) if pairs else {}
    return [
        replace(one, pair=pairs.get(id(one.side)), comparison=compared.get(id(one.side))) for one in found
    ], list(dict.fromkeys(notes))


def _variants(found: Iterable[Candidate]) -> list[str]:
    return list(dict.fromkeys(one.side.variant for one in found))


def _check_names(policy: Policy, found: Sequence[Candidate], run: str) -> None:
    """Raises NiahError for a task that is none at all, and for a variant that the run has not."""
    known = dict.fromkeys([*(name for one in found for name in one.tasks), *choices.names("task"), *SETTINGS])
    for bound in policy.bounds:
        for name in bound.task:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise NiahError(
                    f"{policy.where(bound)}: task: got {name!r}; expected a task's name or a setting of RULER's"
                    + (f"; did you mean {near[0]}?" if near else "")
                )
        if bound.variant and bound.variant not in _variants(found):
            raise _no_variant(f"{policy.where(bound)}: variant", bound.variant, found, run)


def _no_variant(where: str, name: str, found: Sequence[Candidate], run: str) -> NiahError:
    names = [one for one in _variants(found) if one]
    expected = f"expected {' or '.join(names)}" if names else "it has but one; expected none to be named"
    return NiahError(f"{where}: got {name!r}, no variant of {run} beside another; {expected}")


def concerned(bound: Bound, found: Sequence[Candidate]) -> list[Candidate]:
    """Those that a bound is about."""
    return [
        one for one in found
        if (not bound.task or {*bound.task} & {*one.tasks}) and bound.variant in ("", one.side.variant)
    ]
