"""The verb ``pressure``: asks the same prompts alone and under each condition, and says what is the engine's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from niah import config as configuration
from niah import grid
from niah.commands import fault, hydra, unanswered
from niah.commands.pressure import conditions, sentence, verdict
from niah.commands.pressure.conditions import ALONE, OTHERS, Condition, Room
from niah.commands.pressure.orders import PressedSession, Told
from niah.commands.pressure.sentence import Result
from niah.commands.pressure.settings import PressureSettings
from niah.commands.pressure.verdict import Pair, Scale
from niah.commands.results import make, without_nan, write
from niah.commands.words import own_settings, restart_with_environment
from niah.config import Run
from niah.disk import Lines
from niah.engines import Session
from niah.errors import EngineStoppedError, NiahError, UnansweredError
from niah.prompts.recipe import Recipe
from niah.records import Row
from niah.runs import packages, record, runner
from niah.runs.console import Console
from niah.runs.measure import Through
from niah.runs.variants import variants

DEPTHS = [12.5, 37.5, 62.5, 87.5]
_TOLD = "pressure.jsonl"
"""In the folder of a condition: what each session told beside its rows."""


@dataclass(frozen=True)
class Asked:
    """A condition that was asked: its rows by variant and trial, and what its sessions told by variant. Or ``why`` it
    was not; ``is_stopped`` where its engine ended."""

    condition: Condition
    rows: Mapping[str, Mapping[int, Row]]
    told: Mapping[str, Told]
    folder: Path
    why: str = ""
    is_stopped: bool = False


def main(words: list[str]) -> int:
    """Exit code of ``pressure WORDS [pressure.key=...]``: 0, or 2 where a condition is named.

    Raises UnansweredError where none is, but an engine ended under one, or trials are left without an answer.
    """
    settings, rest = own_settings("pressure", PressureSettings, words)
    restart_with_environment(rest)
    return hydra.run(hydra.adapted(rest), lambda config: _measure(configuration.build(config), settings))


def _measure(run: Run, settings: PressureSettings) -> int:
    fault.take_stops()
    console = Console()
    _check(run)
    packages.check(run)
    base = _asking(run, settings)
    root = make(Path(base.outputs) / (run.name or f"pressure-{record.of_run(base, Recipe(base)).name}"))
    names = [one.name for one in variants(base)]
    first, engines = _ask(base, conditions.alone(), Room(), root, console)
    found = conditions.room(engines.get(names[0], {}))
    asked = [first]
    for condition in conditions.others(settings, found):
        try:
            one, _ = _ask(base, condition, found, root, console)
        except EngineStoppedError as error:
            one = Asked(condition, {}, {}, root / condition.folder, str(error), is_stopped=True)
        asked.append(one)
    block = int(engines.get(names[0], {}).get("block_size") or 1)
    num_named = _say(settings, names, asked, block, root, console)
    if num_named:
        return 2
    if left := [text for one in asked if (text := _unanswered(one))]:
        raise UnansweredError(f"{root}: {'; '.join(left)}; the same command asks again")
    return 0


def _unanswered(one: Asked) -> str:
    """What a condition left without an answer; empty where nothing."""
    if one.is_stopped:
        return f"{one.condition.name}: {one.why}"
    found = unanswered.words([row for own in one.rows.values() for row in own.values()])
    return found and f"{one.condition.name}: {found}"


def _check(run: Run) -> None:
    """Raises NiahError for a run whose trials cannot be asked so."""
    if run.reader.may_read_twice:
        raise NiahError(f"pressure: reader={run.reader.name} asks some trials twice; expected reader=full")
    if run.engine.replicas > 1:
        raise NiahError("pressure: engine.replicas shares prompts among engines; expected engine.replicas=1")


def _asking(run: Run, settings: PressureSettings) -> Run:
    """The run of the reference: prompts of the longest length of ``ctx`` alone."""
    longest = min(max(run.ctx.lengths), run.model.limit)
    depths = DEPTHS if run.task.has_depth else [0.0]
    ladder = grid.Ladder(
        name="pressure", lengths=[longest], depths=depths, repeats=-(-settings.prompts // len(depths)),
        share=run.ctx.share,
    )
    resolved = {**run.resolved, "ctx": {**run.resolved["ctx"], **asdict(ladder)}}
    run = replace(run, ctx=ladder, resolved=resolved)
    if any(field.name == "cold_check" for field in fields(run.engine)):  # what it would show is asked here
        run = _with_engine(run, replace(run.engine, cold_check=0.0))
    return run


def _with_engine(run: Run, engine: Any) -> Run:
    before = asdict(run.engine)
    changed = {name: value for name, value in asdict(engine).items() if value != before[name]}
    return replace(
        run, engine=engine, resolved={**run.resolved, "engine": {**run.resolved["engine"], **changed}}
    )


def _ask(
    base: Run, condition: Condition, found: Room, root: Path, console: Console
) -> tuple[Asked, Mapping[str, Mapping[str, Any]]]:
    """Runs the trials under a condition, those that have no answer yet; and the engine's facts by variant."""
    folder = root / condition.folder
    try:
        if condition.load.is_small and not condition.load.num_blocks:
            base.engine.under(condition.load, found.batch)  # may have a reason of its own
            raise NiahError("this engine does not tell how large its KV pool is")
        engine = base.engine.under(condition.load, found.batch)
    except NiahError as error:
        return Asked(condition, {}, {}, folder, str(error)), {}
    run = _with_engine(base, engine)
    outputs, name = str(root), condition.folder
    run = replace(run, outputs=outputs, name=name, resolved={**run.resolved, "outputs": outputs, "name": name})
    names = [one.name for one in variants(run)]
    told = {name: Told() for name in names}

    def through(name: str) -> Through:
        def pressed(session: Session) -> Session:
            return PressedSession(
                session, condition.name, condition.order, told[name], is_twice=condition.name == ALONE
            )

        return pressed

    console.note(f"{condition.name}: {condition.what}")
    try:
        summary = runner.run(run, console, through={name: through(name) for name in names})
    finally:
        _keep(folder, told)
    rows: dict[str, dict[int, Row]] = {name: {} for name in names}
    for row in summary.asked:
        rows[row.variant or names[0]][row.trial] = row
    engines = {name: one.facts for name, one in summary.record.engines.items()}
    return Asked(condition, rows, _told(folder), folder), engines


def _keep(folder: Path, told: Mapping[str, Told]) -> None:
    """Puts down what this session told; nothing where it asked nothing."""
    if folder.is_dir():
        lines = Lines(folder / _TOLD)
        for name, one in told.items():
            if one.at_once:
                lines.append({"variant": name, **asdict(one)})


def _told(folder: Path) -> dict[str, Told]:
    """What all sessions of a condition told, by variant."""
    found: dict[str, Told] = {}
    for line in Lines(folder / _TOLD).read():
        try:
            one = Told(
                {int(trial): tuple(ids) for trial, ids in line["ids"].items()},
                {int(trial): float(value) for trial, value in line["twice"].items()},
                {name: int(value) for name, value in line["counters"].items()}, int(line["at_once"]),
            )
            found.setdefault(str(line["variant"]), Told()).add(one)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NiahError(
                f"{folder / _TOLD}: holds a line that is none of niah's ({error}); expected what it wrote; remove "
                f"{folder}, which is then asked again"
            ) from error
    return found


def pairs(base: Asked, other: Asked, name: str) -> list[Pair]:
    """Trials of a variant that were answered in both, the same prompts."""
    found = []
    before, told, first = base.rows.get(name, {}), other.told.get(name, Told()), base.told.get(name, Told())
    for trial, after in other.rows.get(name, {}).items():
        was = before.get(trial)
        if was is None or was.score is None or after.score is None or was.prompt_sha256 != after.prompt_sha256:
            continue
        ids = first.ids.get(trial), told.ids.get(trial)
        is_same = ids[0] == ids[1] if all(ids) else was.response == after.response  # a server tells no ids
        found.append(Pair(trial, was.score >= 1, after.score >= 1, _nats(was), _nats(after), is_same))
    return found


def _nats(row: Row) -> float:
    return float("nan") if row.logprob is None else float(row.logprob)


def _results(
    settings: PressureSettings, name: str, asked: Sequence[Asked], block: int
) -> tuple[Scale, dict[str, Result]]:
    """Of one variant, the effects without Holm's p."""
    base, *rest = asked
    twice = [
        value - _nats(row) for trial, value in base.told.get(name, Told()).twice.items()
        if (row := base.rows.get(name, {}).get(trial)) is not None
    ]
    of = {one.condition.name: pairs(base, one, name) for one in rest}
    scale = verdict.scale(twice, of.get(OTHERS, []), settings.confidence)
    found = {}
    for one in asked:
        rows, told = list(one.rows.get(name, {}).values()), one.told.get(name, Told())
        own = one.condition
        why = one.why or conditions.missing(own, rows, told, block)
        effect = None
        if own.name != ALONE and not why:
            tolerance = Scale(scale.twice).tolerance if own.name == OTHERS else scale.tolerance
            effect = verdict.effect(of[own.name], tolerance)
            why = "" if effect.num else "no prompt was answered in both"
        hits = sum(row.num_cached_tokens or 0 for row in rows)
        num_tokens = sum(row.num_prompt_tokens for row in rows)
        found[own.name] = Result(own, told, hits, num_tokens, one.folder, effect if not why else None, why)
    return scale, found


def _say(
    settings: PressureSettings, names: Sequence[str], asked: Sequence[Asked], block: int, root: Path, console: Console
) -> int:
    """Tables, sentences and pressure.json; how many conditions are named."""
    found = {name: _results(settings, name, asked, block) for name in names}
    effects = verdict.with_holm({
        f"{name}\n{key}": one.effect for name, (_, results) in found.items() for key, one in results.items()
        if one.effect
    })
    num_named, content = 0, {}
    for name, (scale, results) in found.items():
        results = {key: replace(one, effect=effects.get(f"{name}\n{key}")) for key, one in results.items()}
        num_named += sum(bool(one.effect and one.effect.is_named(settings.confidence)) for one in results.values())
        rows = asked[0].rows.get(name, {}).values()
        title = name if len(names) > 1 else ""
        for line in sentence.lines(title, scale, results, [*rows], len(effects), settings.confidence):
            console.say(line)
        content[name] = sentence.content(scale, results, settings.confidence)
    file = root / "pressure.json"
    plain = {"schema": 1, "settings": asdict(settings), "num_tests": len(effects), "variants": content}
    write(file, json.dumps(without_nan(plain), indent=1) + "\n")
    console.say(f"pressure: {file}")
    return num_named
