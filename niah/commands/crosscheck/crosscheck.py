"""The verb ``crosscheck``: trials of a finished run answered once more by a second engine, on the same ids."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from niah import config as configuration
from niah import environment, grid
from niah.commands import plan as planning
from niah.commands.crosscheck import summary
from niah.commands.crosscheck.first_difference import first_difference, stored
from niah.commands.crosscheck.second_engine import choose, holding_a_model, seconds
from niah.commands.report import write
from niah.commands.words import changes, folder_arguments, restart_with_environment
from niah.config import Run
from niah.disk import Lines
from niah.engines import Session, Traced
from niah.errors import NiahError
from niah.prompts.recipe import Built, Recipe
from niah.records import RETRIED, Completion, Failure, Row, RunRecord
from niah.runs import runner, store
from niah.runs.console import Console
from niah.runs.record import fingerprint
from niah.runs.store import RunFolder
from niah.scorers.outcome import judge
from niah.stats.agreement import verdict

_RETRIED = {outcome.value for outcome in RETRIED}


@dataclass(frozen=True)
class CrosscheckSettings:
    """``trials`` of the run are asked again (0: all), under every variant; a first difference of at most ``near_tie``
    nats is a close call that rounding may decide."""

    trials: int = 40
    near_tie: float = 0.5
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.trials < 0:
            raise NiahError(f"crosscheck.trials: got {self.trials}; expected a number of trials, 0 for all")
        if self.near_tie < 0:
            raise NiahError(f"crosscheck.near_tie: got {self.near_tie:g}; expected nats, 0 or more")
        if not 0.5 <= self.confidence < 1:
            raise NiahError(f"crosscheck.confidence: got {self.confidence:g}; expected 0.5 to below 1, as 0.95")


def main(words: list[str]) -> int:
    """Exit code of ``crosscheck DIR [engine=NAME] [crosscheck.key=...]``."""
    restart_with_environment(["engine=transformers", *words])
    paths, rest = folder_arguments("crosscheck", words)
    if len(paths) > 1:
        raise NiahError(
            f"crosscheck: got {paths[1]!r} beside {paths[0]!r}; expected one run, as crosscheck outputs/NAME"
        )
    print(*crosscheck(paths[0], rest, Console()), sep="\n")
    return 0


def crosscheck(path: str, words: Sequence[str], console: Console) -> list[str]:
    """What to print. Finished answers stay in crosscheck.jsonl; the same command goes on where it was stopped."""
    folder, record = store.opened(path)
    settings, overrides = _settings(words)
    arms = seconds(record, overrides)
    with folder:
        rows = folder.rows()
        _check(path, record, rows)
        chosen = choose(rows, settings.trials)
        recipe = Recipe(configuration.from_resolved(record.config))
        lines = Lines(folder.path / "crosscheck.jsonl")
        facts: dict[str, Any] = {}
        packages = environment.describe().packages
        done = _done(lines)
        with console.log_to(folder.path / "crosscheck.log"):
            for arm, own in _by_cache(arms, [row for _, group in chosen for row in group]):
                mark = _mark(record, arm, packages)
                todo = [row for row in own if (mark, *_row_key(row)) not in done]
                console.note(f"{path}: {len(todo)} of {len(own)} answers to ask {_name(arm)} for; its log is in crosscheck.log")
                if todo:
                    facts[arm.kv.name] = _answer(path, record, recipe, arm, todo, mark, folder, lines, chosen, console)
        marks = {_mark(record, arm, packages) for arm in arms.values()}
        wanted = {_row_key(row) for _, group in chosen for row in group}
        found = [line for line in lines.read() if line["mark"] in marks and _line_key(line) in wanted]
        latest = {_line_key(line): line for line in found}  # a failed one may have been answered later
        order = {name: place for place, name in enumerate(record.scope.variants)}
        latest = dict(sorted(latest.items(), key=lambda item: order.get(item[0][0], -1)))
        told = summary.tell(list(latest.values()), settings, path, _all_named(arms), len({row.trial for row in rows}))
        write(folder.path / "crosscheck.json", json.dumps({
            "schema": 1, "settings": dataclasses.asdict(settings), "second": _plain(arms),
            "facts": {**_known_facts(folder, arms), **facts}, **told.content,
        }, indent=2, ensure_ascii=False) + "\n")
        if failed := [line for line in latest.values() if line["second"]["outcome"] in _RETRIED]:
            print(*told.lines, sep="\n", file=console.out, flush=True)
            raise NiahError(
                f"{path}: {len(failed)} answers failed on the second engine (trial {failed[0]['trial']}: "
                f"{failed[0]['second']['error']}); the same command asks again"
            )
    return [*told.lines, f"all of them: {lines.path}, {folder.path / 'crosscheck.json'}"]


def _settings(words: Sequence[str]) -> tuple[CrosscheckSettings, list[str]]:
    own = [word for word in words if word.startswith("crosscheck.")]
    changed = changes("crosscheck", own, ("crosscheck",))
    return configuration.typed("crosscheck", CrosscheckSettings, changed.get("crosscheck", {}))[0], [word for word in words if word not in own]


def _check(path: str, record: RunRecord, rows: Sequence[Row]) -> None:
    engine = configuration.from_resolved(record.config).engine
    if not engine.holds_a_model:
        raise NiahError(
            f"{path}: was answered by engine={engine.name}, which holds no model; expected a run of {' or '.join(holding_a_model())}"
        )
    if not any(row.score is not None for row in rows):
        raise NiahError(f"{path}: no trial has an answer yet; run it first")


def _by_cache(arms: dict[str, Run], rows: Sequence[Row]) -> Iterator[tuple[Run, list[Row]]]:
    """Each way the second engine is opened, once, with the rows it has to answer."""
    names = dict.fromkeys(arm.kv.dtype for arm in arms.values())
    for name in names:
        firsts = [dtype for dtype, arm in arms.items() if arm.kv.dtype == name]
        if own := [row for row in rows if row.kv_cache_dtype in firsts]:
            yield arms[firsts[0]], own


def _answer(
    path: str, record: RunRecord, recipe: Recipe, arm: Run, todo: list[Row], mark: str, folder: RunFolder, lines: Lines,
    chosen: Sequence[tuple[str, list[Row]]], console: Console,
) -> dict[str, Any]:
    """Asks one open engine for all of ``todo``; returns what it says of itself."""
    fit = next(iter(planning.check(arm).values()))
    why = {group[0].trial: kind for kind, group in chosen}
    trials = {trial.index: trial for trial in recipe.trials}
    asked: dict[tuple[int, str], list[Row]] = {}  # variants of one trial may have read different prompts
    for row in todo:
        if row.length in fit.unfit:
            raise NiahError(f"{path}: trial {row.trial} does not fit the second engine: {fit.unfit[row.length]}; take engine.chunk_tokens smaller or another engine")
        asked.setdefault((row.trial, row.prompt_sha256), []).append(row)
    blocks = [[trials[n] for n in dict.fromkeys(n for n, _ in asked) if (why[n] == "discordant") is is_first] for is_first in (True, False)]
    ordered = [trial for block in blocks for trial in grid.in_running_order(block)]
    at = {trial.index: place for place, trial in enumerate(ordered)}
    groups = [asked[key] for key in sorted(asked, key=lambda key: at[key[0]])]
    longest = recipe.max_read(ordered)
    built: dict[int, Built] = {}

    def prompts():
        for place, group in enumerate(groups):
            built[place] = recipe.rebuild(group[0], record.sources, path)
            yield place, built[place].prompt

    job = runner.job_of(arm, recipe, fit, longest, folder.path / "crosscheck.log")
    progress = console.progress(len(groups), 0, sum(group[0].length for group in groups))
    with closing(arm.engine.open(job)) as session:
        try:
            for place, result in session.generate(prompts()):
                made = built.pop(place)
                for row in groups[place]:
                    lines.append(_line(recipe, made, row, result, why[row.trial], arm, mark, session))
                progress.advance(row.length, len(made.prompt.ids))
        finally:
            progress.close()
        return session.facts()


def _line(
    recipe: Recipe, made: Built, row: Row, result: Completion | Failure, why: str, arm: Run, mark: str, session: Session
) -> dict[str, Any]:
    """One answer beside its row, as plain data."""
    common = {
        "mark": mark, "trial": row.trial, "variant": row.variant, "why": why, "length": row.length, "depth": row.depth,
        "repeat": row.repeat, "prompt_sha256": row.prompt_sha256, "targets": row.targets,
        "first": {
            "engine": row.engine, "response": row.response, "score": row.score, "outcome": row.outcome,
            "num_tokens": row.num_completion_tokens, "finish_reason": row.finish_reason, "logprob": row.logprob,
        },
    }
    second = {"engine": arm.engine.name, "served": session.served, "seconds": round(result.seconds, 4)}
    if isinstance(result, Failure):
        return {**common, "second": {**second, "outcome": result.outcome.value, "error": result.message, "score": None}}
    score, outcome = judge(result.text, made.problem, recipe.run.scorer, result.finish_reason)
    steps = result.steps if isinstance(result, Traced) else ()
    ids = [next(iter(step)) for step in steps]
    second |= {
        "response": result.text, "score": score.value, "outcome": outcome.value, "num_tokens": result.num_tokens,
        "finish_reason": result.finish_reason, "logprob": result.grade and round(result.grade.logprob, 6), "ids": ids,
    }
    same = (row.response, row.finish_reason) == (result.text, result.finish_reason)
    found = {"verdict": verdict(row.score, score.value), "is_same": same, "difference": None, "ids_counted": None}
    if steps:
        answer = stored(recipe.tokenizer, row.response, row.num_completion_tokens, row.finish_reason == "stop", ids)
        found["ids_counted"] = answer.is_counted
        if not same and (place := first_difference(recipe.tokenizer, answer, ids, steps)):
            found["difference"] = dataclasses.asdict(place)
    return {**common, "second": second, **found}


def _mark(record: RunRecord, arm: Run, packages: Mapping[str, str]) -> str:
    """Identifies the run, the second engine with all its settings, and its software."""
    told = {"run": record.fingerprint, "engine": arm.resolved["engine"], "kv": arm.kv.dtype, "packages": packages}
    return fingerprint(told)[:16]


def _name(arm: Run) -> str:
    attention = f" {arm.engine.attention[0]}" if arm.engine.attention else ""
    return f"{arm.engine.name}{attention} (kv={arm.kv.name})"


def _all_named(arms: dict[str, Run]) -> str:
    names = dict.fromkeys(_name(arm) for arm in arms.values())
    return next(iter(names)) if len(names) == 1 else f"{_name(next(iter(arms.values()))).partition(' (')[0]} (each under its own KV dtype)"


def _plain(arms: dict[str, Run]) -> dict[str, Any]:
    return {dtype: {"engine": arm.resolved["engine"], "kv": arm.kv.dtype} for dtype, arm in arms.items()}


def _known_facts(folder: RunFolder, arms: dict[str, Run]) -> dict[str, Any]:
    """What the same second engine said of itself in the check before."""
    file = folder.path / "crosscheck.json"
    try:
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError:
        return {}
    return known["facts"] if known.get("second") == json.loads(json.dumps(_plain(arms))) else {}


def _row_key(row: Row) -> tuple:
    return row.variant, row.trial, row.prompt_sha256, row.response


def _line_key(line: dict[str, Any]) -> tuple:
    return line["variant"], line["trial"], line["prompt_sha256"], line["first"]["response"]


def _done(lines: Lines) -> set[tuple]:
    return {(line["mark"], *_line_key(line)) for line in lines.read() if line["second"]["outcome"] not in _RETRIED}
