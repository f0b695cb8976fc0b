"""The verb ``decide``: two KV dtypes, models, readers or engines, repeat by repeat, until one is worse or is not."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from niah import choices, grid
from niah import config as configuration
from niah.commands import budget, fault, fields, hydra, unanswered
from niah.commands.budget import Budget
from niah.commands.decide.pairing import Listed, Plan, Side, differences, hardest
from niah.commands.decide.settings import DecideSettings
from niah.commands.results import without_nan, write
from niah.commands.words import own_settings, refuse_repeats, restart_with_environment
from niah.config import Run
from niah.errors import NiahError
from niah.records import Trial
from niah.runs import runner, sweeps
from niah.runs.console import Console
from niah.runs.history import Cell
from niah.runs.repeats import with_repeats
from niah.runs.runner import Summary
from niah.runs.scoring import rescored_sha256
from niah.runs.variants import variants
from niah.stats import decision, power
from niah.stats.decision import OPEN, Decision
from niah.units import format_length

_GROUPS = ("model", "reader", "engine")
"""Of these two choices are two runs; two KV dtypes are variants of one."""
_WITHIN = ("reader.budget", "kv", "spec", "model.thinking_budget", "engine.attention", "engine.flash_attn_version")
"""Settings that may be lists too: variants of a run, and of ``reader.budget`` a run each."""
_GROWTH = 1.25
"""After a look so many times the repeats are asked: an engine has to be started for each."""


def main(words: list[str]) -> int:
    """Exit code of ``decide WORDS [decide.key=...]``: 0, or 2 where one is worse.

    Raises UnansweredError where none is, but an engine was given up, or trials are left without an answer.
    """
    settings, rest = own_settings("decide", DecideSettings, words)
    refuse_repeats("decide", rest)
    sides = _each(rest)
    for one in sides:
        restart_with_environment(one)
    runs: list[Run] = []

    def taken(config: Any) -> int:
        runs.append(configuration.build(config))
        return 0

    for one in sides:
        hydra.run(hydra.adapted(one), taken)
    fault.take_stops()
    return Deciding(runs, settings, Console()).run()


def _each(words: Sequence[str]) -> list[list[str]]:
    """The words of each run: ``reader=[full,bm25]`` is two, whose names end in the choice; a setting that one of them
    alone has (``reader.k1=1.2``) is that one's. Raises NiahError where more than one thing differs."""
    lists = {
        key: value.strip("[]").split(",") for key, _, value in (word.lstrip("+").partition("=") for word in words)
        if key in (*_GROUPS, *_WITHIN) and value.startswith("[")
    }
    several = {key: names for key, names in lists.items() if key in _GROUPS}
    differing = [key for key, names in lists.items() if key in _GROUPS or len(names) > 1]
    if len(differing) > 1 and (several or "reader.budget" in differing):
        raise NiahError(
            f"decide: got several of {' and of '.join(differing)}; expected one difference, as kv=[bf16,fp8]"
        )
    if not several:
        return [list(words)]
    (group, names), = ((group, [*map(str.strip, names)]) for group, names in several.items())
    if len({*names}) < len(names) or "" in names:
        raise NiahError(
            f"decide: got {group}=[{','.join(names)}]; expected choices that differ, as reader=[full,bm25]"
        )
    known = {name: _settings(group, name) for name in names}
    sides = []
    for name in names:
        own = {group: f"{group}={name}", "name": f"-{name}".replace("/", "-")}
        others = set().union(*known.values()) - known[name] if known[name] else set()
        sides.append([
            own[group] if word.startswith(f"{group}=") else word + own["name"] if word.startswith("name=") else word
            for word in words if word.partition("=")[0].lstrip("+").removeprefix(f"{group}.") not in others
        ])
    return sides


def _settings(group: str, name: str) -> set[str]:
    """The settings of a choice, so that each side is told its own alone; none where its class is not known."""
    file = choices.file_of(group, name)
    return {one.name for one in fields.settings(str(choices.content(file).get("_target_", "")))} if file else set()


@dataclass
class _Pair:
    """The baseline and another, which may be worse; ``alpha`` is the pair's error probability."""

    a: Side
    b: Side
    alpha: float
    found: Decision | None = None
    seen: tuple[int, int] = (0, 0)
    """Whole repeats, about, that ``found`` was made of: it is made anew for each, not for each trial."""


class Deciding:
    """The runs, each with its variants as sides; the first side is the baseline."""

    def __init__(self, runs: Sequence[Run], settings: DecideSettings, console: Console):
        self._settings, self._console = settings, console
        self._runs = runs
        first = runs[0]
        names = [[variant.name for variant in variants(run)] for run in runs]
        self._sides = [
            {name: Side(_label(run, name, runs)) for name in own} for run, own in zip(runs, names, strict=True)
        ]
        every = [side for own in self._sides for side in own.values()]
        if len(every) < 2:
            raise NiahError(
                "decide: one run with one KV dtype; expected two to compare, as kv=[bf16,fp8], spec=[none,ngram] or "
                "reader=[full,bm25]"
            )
        alpha = (1 - settings.confidence) / (len(every) - 1)
        self._pairs = [_Pair(every[0], other, alpha) for other in every[1:]]
        depths = sorted({*first.ctx.depths}) if first.task.has_depth else [0.0]
        has_all = settings.unit == "all" or (settings.unit == "auto" and first.ctx.share != grid.APART)
        self._plan = Plan(sorted({*first.ctx.lengths}), depths, first.seed, has_all)
        self._budget: Budget = budget.parse(settings.budget, first.hardware, "decide.budget")
        self._summaries: list[Summary] = []

    def run(self) -> int:
        """Asks until each pair has a verdict, the repeats, the budget or an engine end; says what was found.

        Raises UnansweredError as ``main`` says.
        """
        num = 0
        while num < self._settings.most and not self._is_over():
            num = min(self._settings.most, max(num + self._settings.batch, int(num * _GROWTH)))
            if length := self._first_length():
                self._ask(num, [one for repeat in range(num) for one in self._plan.cells_at(length, repeat)])
            if not self._is_over():
                self._ask(num, [one for repeat in range(num) for one in self._plan.cells(repeat)])
            if any(side.no_room for own in self._sides for side in own.values()):
                self._leave_out()
        for pair in self._pairs:
            if pair.found is None or pair.found.verdict == OPEN:
                pair.found = self._decision(pair)
        lines = [line for pair in self._pairs for line in self._lines(pair)]
        for line in lines:
            self._console.say(line)
        self._write()
        if any(pair.found and pair.found.verdict == decision.WORSE for pair in self._pairs):
            return 2
        unanswered.check(self._summaries)
        return 0

    def _leave_out(self) -> None:
        """Raises NiahError where a length has no room under one side: what is left would be another grid."""
        none = sorted({length for own in self._sides for side in own.values() for length in side.no_room})
        names = ", ".join(map(format_length, none))
        raise NiahError(f"ctx.lengths: no room for {names} under each side; expected lengths that all have room for")

    def _first_length(self) -> int | None:
        if len(self._plan.lengths) < 2:
            return None
        found = (hardest(pair.a, pair.b, self._plan.lengths) for pair in self._pairs if not self._is_decided(pair))
        return next(filter(None, found), None)

    def _ask(self, num_repeats: int, wanted: Sequence[Cell]) -> None:
        """Asks each side for these cells of the first repeats, the baseline first; the others end as soon as there is a
        verdict."""
        self._summaries = []
        for run, sides in zip(self._runs, self._sides, strict=True):

            def listed(variant: str, trials: Sequence[Trial], sides: dict[str, Side] = sides) -> Listed:
                side = sides[variant]
                return Listed(
                    side, wanted, trials, self._budget, lambda: self._is_settled(side), self._runs[0].ctx.share
                )

            run = with_repeats(run, num_repeats)
            summary = runner.run(run, self._console, choosing=listed, keeps_stop=True)
            for row in summary.asked:  # where all were there before, nothing was chosen
                sides[row.variant or next(iter(sides))].told(row)
            self._summaries.append(summary)

    def _is_settled(self, side: Side) -> bool:
        """Whether nothing that is still open needs this side."""
        return all(self._is_decided(pair) for pair in self._pairs if side in (pair.a, pair.b))

    def _is_over(self) -> bool:
        has_ended = self._budget.is_spent() or any(one.stopped for one in self._summaries)
        return has_ended or all(self._is_decided(pair) for pair in self._pairs)

    def _is_decided(self, pair: _Pair) -> bool:
        size = len(self._plan.cells(0))
        now = len(pair.a.rows) // size, len(pair.b.rows) // size
        if pair.found is None or (pair.found.verdict == OPEN and pair.seen != now):
            pair.found, pair.seen = self._decision(pair), now
        return pair.found.verdict != OPEN

    def _decision(self, pair: _Pair) -> Decision:
        most, plan = 1 + max((place[2] for place in pair.b.rows), default=-1), self._plan
        whole = differences(pair.a, pair.b, [plan.cells(repeat) for repeat in range(most)])
        own = {
            length: differences(pair.a, pair.b, [plan.cells_at(length, repeat) for repeat in range(most)])
            for length in plan.lengths
        }
        return decision.decide(whole, own, len(plan.lengths), self._settings.margin, pair.alpha)

    def _lines(self, pair: _Pair) -> list[str]:
        found, margin = pair.found or self._decision(pair), self._settings.margin
        confidence = 1 - pair.alpha
        what = {
            decision.WORSE: f"worse{f' at {format_length(found.where)}' if found.where else ''}",
            decision.NOT_WORSE: f"not worse by {100 * margin:g} points",
            OPEN: "open",
        }[found.verdict]
        with_confidence = "" if found.verdict == OPEN else f", with {confidence:.1%} confidence"
        return [
            f"{pair.b.label} against {pair.a.label}: {what}{with_confidence}",
            f"  {found.num_repeats} repeats of {'all cells' if self._plan.has_all else 'one cell each'}, difference "
            f"{100 * found.difference:+.1f} points; evidence for worse {found.worse:.1f} of {found.worse_needed:.1f}, "
            f"for not worse by the margin {found.not_worse:.1f} of {found.not_worse_needed:.1f}",
            f"  {len(pair.a.rows)} + {len(pair.b.rows)} prompts; {self._fixed(pair)}",
        ]

    def _fixed(self, pair: _Pair) -> str:
        """What a design with its repeats fixed beforehand would take, for pairs that differ as these do."""
        common = sorted(pair.a.rows.keys() & pair.b.rows.keys(), key=lambda place: place[2])
        if len(common) < 2:
            return "too few pairs to say what a fixed design takes"
        shift = np.array([(pair.b.rows[one].score or 0.0) - (pair.a.rows[one].score or 0.0) for one in common])
        names, labels = np.unique([one[2] for one in common], return_inverse=True)
        by_chance = 2 * min(float((shift < 0).mean()), float((shift > 0).mean()))
        assumed = replace(
            power.assumptions(shift, labels, len(names)), discordant=max(by_chance, 1 / len(shift))
        )
        cells = len(self._plan.lengths) * len(self._plan.depths)
        if assumed.discordant / 2 + self._settings.margin >= 1:
            return "no fixed design of these cells finds such a loss"
        alpha = 1 - self._settings.confidence
        repeats = power.repeats_for(self._settings.margin, cells, assumed, alpha, 0.8, 400, power.FEW_REPEATS)
        if repeats is None:
            return f"a fixed design takes more than {power.FEW_REPEATS} repeats of {cells} cells"
        return (
            f"a fixed design that finds a loss of {100 * self._settings.margin:g} points with 80% takes about "
            f"{2 * cells * repeats:,} ({repeats} repeats of {cells} cells)"
        )

    def _write(self) -> None:
        """decide.json, beside the rows of the first run."""
        content = {
            "schema": 1, "settings": asdict(self._settings), "folders": [str(one.folder) for one in self._summaries],
            "rescored_sha256": rescored_sha256(self._summaries[0].rows if self._summaries else ()),
            "pairs": [
                {"baseline": pair.a.label, "other": pair.b.label, "alpha": pair.alpha,
                 "num_prompts": [len(pair.a.rows), len(pair.b.rows)],
                 **asdict(pair.found or self._decision(pair))} for pair in self._pairs
            ],
        }
        if self._summaries:
            file = self._summaries[0].folder / "decide.json"
            write(file, json.dumps(without_nan(content), indent=1) + "\n")
            self._console.say(f"decide: {file}")


def _label(run: Run, variant: str, runs: Sequence[Run]) -> str:
    """What a sentence calls a side: what sets it apart."""
    parts = [
        name for name, others in (
            (run.model.name, {one.model.name for one in runs}), (run.reader.name, {one.reader.name for one in runs}),
            (run.engine.name, {one.engine.name for one in runs}),
        ) if len(others) > 1
    ]
    if not parts and len(runs) > 1:
        parts = list(sweeps.labels([one.recorded for one in runs])[runs.index(run)])
    return " ".join([*parts, *([variant] if len(variants(run)) > 1 or not parts else [])])
