"""A policy's bounds against its candidates: what is met, what has failed, and what is open, with what would decide
it."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from niah.commands.compare.pairs import answers
from niah.commands.gate import certificates
from niah.commands.gate.candidates import Candidate, concerned
from niah.commands.gate.policy import (
    ACCURACY,
    CALIBRATION,
    EFFECTIVE_LENGTH,
    FAILURES,
    LOSS,
    PROMPTS,
    REQUIRED,
    Bound,
    Policy,
)
from niah.report import verdict
from niah.runs import checks
from niah.stats import cells, effective_length, power
from niah.stats.comparison import Answers, Difference
from niah.stats.effective_length import EffectiveLength
from niah.units import format_length

MET, FAILED, OPEN = "met", "failed", "inconclusive"
GO, NO_GO, INCONCLUSIVE = "GO", "NO-GO", "INCONCLUSIVE"
_SIMULATED = 8
"""Open losses whose repeats are simulated, up to a second each."""


@dataclass(frozen=True)
class Finding:
    """One bound of one candidate, at one length or over all (``length`` 0). ``value`` to ``high`` are accuracy, loss,
    tokens or a share, NaN where there is none. ``repeats`` in all would decide what is open; ``why`` says what else
    keeps it so."""

    bound: Bound
    candidate: str
    length: int
    state: str
    asked: str
    seen: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    num_trials: int = 0
    num_repeats: int = 0
    why: str = ""
    repeats: int | None = None

    @property
    def name(self) -> str:
        """What was asked of what."""
        at = f" at {format_length(self.length)}" if self.length else ""
        return f"{self.candidate}{at}: {self.asked}"

    @property
    def is_required(self) -> bool:
        return self.bound.tier == REQUIRED

    @property
    def words(self) -> str:
        """What was seen, and what would decide it."""
        further = f"from about ctx.repeats={self.repeats} on it is decided" if self.repeats else ""
        return "; ".join(filter(None, (self.seen, self.why, further)))


@dataclass(frozen=True)
class _Among:
    """What all bounds share: the intervals' confidence, how many comparisons there are, and how many more simulations
    there may be."""

    confidence: float
    num_compared: int
    simulations: Iterator[int]


def judged(policy: Policy, found: Sequence[Candidate]) -> list[Finding]:
    """Every bound of every candidate that it is about, in the policy's order."""
    compared = sum(one.comparison is not None for one in found)
    among = _Among(policy.confidence, compared, iter(range(_SIMULATED)))
    findings: list[Finding] = []
    for bound in policy.bounds:
        mine = concerned(bound, found)
        if not mine:
            name = " or ".join(bound.task)
            why = f"nothing of it was measured; a run with task={name} or that setting would"
            findings.append(Finding(bound, name, 0, OPEN, _asked(bound), "no run", why=why))
        for one in mine:
            findings += _OF_KIND[bound.kind](bound, one, among)
    return findings


def verdict_of(findings: Iterable[Finding]) -> str:
    """NO-GO where a required bound has failed, else INCONCLUSIVE where one is open, else GO."""
    states = {one.state for one in findings if one.is_required}
    return NO_GO if FAILED in states else INCONCLUSIVE if OPEN in states else GO


def _asked(bound: Bound) -> str:
    limit = bound.limit
    return {
        ACCURACY: lambda: f"accuracy at least {limit:g}",
        EFFECTIVE_LENGTH: lambda: f"effective length ({bound.threshold:g}) at least {format_length(limit)}",
        LOSS: lambda: f"loss below {100 * limit:g} points",
        FAILURES: lambda: f"trials without an answer at most {limit:.4g}" if limit else "every trial has an answer",
        CALIBRATION: lambda: "engine verified by calibration",
        PROMPTS: lambda: "the pinned prompts",
    }[bound.kind]()


def _lengths(bound: Bound, measured: Iterable[int]) -> tuple[int, ...]:
    """Those that are asked one by one; 0 for all together."""
    return tuple(sorted(set(measured))) if bound.is_each else bound.lengths or (0,)


def _unfinished(one: Candidate, length: int = 0) -> str:
    """Why nothing can be said of a run that was stopped: what it lacks is no random part of it."""
    missing = one.num_planned - len(one.rows)
    return f"{missing} of {one.num_planned} trials were not asked yet; the run's own command goes on" if missing else ""


def _accuracy(bound: Bound, one: Candidate, among: _Among) -> Iterator[Finding]:
    for length in _lengths(bound, (row.length for row in one.rows)):
        rows = [row for row in one.rows if length in (0, row.length)]
        found = cells.overall(rows, among.confidence)
        answered = [row for row in rows if row.is_answered]
        repeats = len({row.repeat for row in answered})
        state = OPEN
        why = _unfinished(one) or _of_few(found.n, repeats)
        if not why:
            state = MET if found.low >= bound.limit else FAILED if found.high < bound.limit else OPEN
        needed = None
        if state == OPEN and found.n and not _unfinished(one):
            scores = np.array([row.score or 0.0 for row in answered])
            labels = np.array([row.repeat for row in answered])
            needed = power.repeats_to_part(scores, labels, bound.limit, among.confidence)
            why = why or ("" if needed else _too_near("accuracy"))
        seen = f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}], {_counted(found.n, 'answer', repeats)}"
        yield Finding(
            bound, one.label, length, state, _asked(bound), seen if found.n else "no answer", found.mean, found.low,
            found.high, found.n, repeats, why, needed,
        )


def _of_few(num_answers: int, repeats: int) -> str:
    if not num_answers:
        return "nothing was answered here"
    return "1 repeat is one needle in one text, which says nothing of others" if repeats == 1 else ""


def _counted(num: int, noun: str, repeats: int) -> str:
    return f"{num} {noun}{'s' * (num != 1)} in {repeats} repeat{'s' * (repeats != 1)}"


def _too_near(what: str) -> str:
    return f"the {what} seen is too near the bound for {power.FEW_REPEATS} repeats to part them"


def _loss(bound: Bound, one: Candidate, among: _Among) -> Iterator[Finding]:
    if one.pair is None or one.comparison is None:
        why = "the baseline has no run of the same settings with answers"
        for length in bound.lengths or (0,):
            yield Finding(bound, one.label, length, OPEN, _asked(bound), "no pairs", why=why)
        return
    by_length = {found.lengths[0]: found for found in one.comparison.lengths}
    a, b = answers(one.pair.a), answers(one.pair.b)
    for length in _lengths(bound, by_length):
        found = by_length.get(length) if length else one.comparison.overall
        if found is None:
            why = "nothing was answered here in both"
            yield Finding(bound, one.label, length, OPEN, _asked(bound), "no pairs", why=why)
            continue
        state, needed = OPEN, None
        proven = "" if length else certificates.decided(one, one.pair.base.variant, bound.limit, among.confidence)
        why = proven or _unfinished(one) or _of_few(found.num_pairs, found.num_repeats)
        if proven:
            state = MET
        elif not why:
            state = MET if found.is_noninferior(bound.limit) else FAILED if found.high < -bound.limit else OPEN
            if state == OPEN and next(among.simulations, None) is not None:
                family = len(by_length) if length else among.num_compared
                needed = _repeats(a, b, found, bound.limit, 1 - among.confidence, family)
                why = "" if needed else _too_near("difference")
        counts = f"{_counted(found.num_pairs, 'pair', found.num_repeats)}, {found.num_lost} lost, {found.num_gained} "
        yield Finding(
            bound, one.label, length, state, _asked(bound),
            f"{verdict.span(found)} points from {one.pair.base.label}, {counts}gained", found.difference, found.low,
            found.high, found.num_pairs, found.num_repeats, why, needed,
        )


def _repeats(a: Answers, b: Answers, found: Difference, margin: float, alpha: float, family: int) -> int | None:
    """That show a loss of the margin, or rule it out; a loss has to be significant among ``family`` (Holm) too."""
    chosen, distance = np.isin(a.length, found.lengths), found.difference + margin
    return power.repeats_for_margin(
        (b.score - a.score)[chosen], a.repeat[chosen], distance, alpha if distance > 0 else alpha / family
    )


def _effective(bound: Bound, one: Candidate, among: _Among) -> Iterator[Finding]:
    if proven := certificates.frontier(one, bound.threshold, among.confidence):
        is_reached = certificates.reached(proven, bound.limit)
        state = OPEN if is_reached is None else MET if is_reached else FAILED
        repeats = len({row.repeat for row in one.rows if row.is_answered})
        yield Finding(
            bound, one.label, 0, state, _asked(bound), f"frontier: {proven.sentence}", math.nan, proven.low,
            proven.high, len(one.rows), repeats, certificates.further(bound.limit) if state == OPEN else "",
        )
        return
    summary = effective_length.summary(one.rows, bound.threshold, among.confidence)
    if summary is None:
        yield Finding(bound, one.label, 0, OPEN, _asked(bound), "no answer", why="nothing was answered here")
        return
    found = summary.effective[-1]  # that of the policy's threshold
    answered = [row for row in one.rows if row.is_answered]
    why = _unfinished(one) or _of_few(len(answered), summary.num_repeats)
    state, needed = OPEN, None
    if not why:
        state = _reached(found, summary.lengths, bound.limit)
        if state == OPEN:
            open_lengths = [length for length in summary.lengths if found.low < length <= bound.limit]
            each = []
            for length in open_lengths:
                rows = [row for row in answered if row.length == length]
                scores, labels = np.array([row.score or 0.0 for row in rows]), np.array([row.repeat for row in rows])
                each.append(power.repeats_to_part(scores, labels, bound.threshold, among.confidence))
            needed = max((num for num in each if num), default=None) if all(each) else None
            if max(summary.lengths) < bound.limit and found.high == max(summary.lengths):
                longest = format_length(max(summary.lengths))
                why = f"the longest length measured is {longest}; ctx.lengths has to hold {format_length(bound.limit)}"
            elif not open_lengths:
                why = f"no length between {format_length(found.low)} and {format_length(bound.limit)} was measured"
            elif needed is None:
                why = _too_near("accuracy")
    yield Finding(
        bound, one.label, 0, state, _asked(bound),
        f"{_tokens(found.length)} [{_tokens(found.low)}, {_tokens(found.high)}{'+' * found.high_is_open}], "
        f"{_counted(len(answered), 'answer', summary.num_repeats)}",
        found.length, found.low, found.high, len(answered), summary.num_repeats, why, needed,
    )


def _reached(found: EffectiveLength, lengths: Sequence[int], wanted: int) -> str:
    """Met where every length up to the wanted one is above the threshold; failed where one of them is below it: the
    first length that is ruled out is that behind the interval's upper end."""
    ruled_out = min((length for length in lengths if length > found.high), default=None)
    return MET if found.low >= wanted else FAILED if ruled_out is not None and ruled_out <= wanted else OPEN


def _tokens(length: int) -> str:
    return format_length(length) if length else "none"


def _failures(bound: Bound, one: Candidate, among: _Among) -> Iterator[Finding]:
    """Counted, without an interval: they are this run's own."""
    for length in _lengths(bound, (row.length for row in one.rows)):
        rows = [row for row in one.rows if length in (0, row.length)]
        failed = [row.outcome for row in rows if not row.is_answered]
        is_chosen = certificates.is_chosen(one)
        left = "" if is_chosen else _unfinished(one)
        planned = len(rows) if length or is_chosen else one.num_planned
        share = len(failed) / planned if planned else math.nan
        state = FAILED if share > bound.limit else MET
        why = ""
        if state == MET and (why := left or ("" if rows else "nothing was asked here")):
            state = OPEN
        kinds = ", ".join(f"{failed.count(kind)} {kind}" for kind in dict.fromkeys(failed))
        yield Finding(
            bound, one.label, length, state, _asked(bound), f"{len(failed)} of {planned} without{' (' * bool(kinds)}"
            f"{kinds}{')' * bool(kinds)}", share, num_trials=len(rows), why=why,
        )


def _calibration(bound: Bound, one: Candidate, among: _Among) -> Iterator[Finding]:
    left = checks.calibration(one.side.opened.path, one.side.variant)
    before = one.side.record.calibration
    said = [*before, *left.sentences]
    if left.verdict == checks.FAILED:
        state, why = FAILED, ""
    elif before or left.verdict == checks.VERIFIED:
        state, why = MET, ""
    else:
        state, why = OPEN, "the run's own command with calibrate=true verifies the engine first"
    yield Finding(bound, one.label, 0, state, _asked(bound), "; ".join(said) or "not calibrated", why=why)


def _prompts(bound: Bound, one: Candidate, among: _Among) -> Iterator[Finding]:
    own = one.prompts_sha256()
    state = MET if own == bound.limit else FAILED
    why = _unfinished(one) if state == FAILED else ""
    yield Finding(
        bound, one.label, 0, OPEN if why else state, _asked(bound), f"sha256 {own}", num_trials=len(one.rows), why=why
    )


_OF_KIND: dict[str, Callable[[Bound, Candidate, _Among], Iterator[Finding]]] = {
    ACCURACY: _accuracy, LOSS: _loss, EFFECTIVE_LENGTH: _effective, FAILURES: _failures, CALIBRATION: _calibration,
    PROMPTS: _prompts,
}
