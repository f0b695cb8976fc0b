"""The verb ``crosscheck``: trials of a finished run answered once more by a second engine, on the same ids."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from niah import config, disk, environment, grid, secrets
from niah.commands.crosscheck.first_difference import first_difference, stored_answer
from niah.commands.crosscheck.sample import sample
from niah.commands.crosscheck.second_engine import holding_a_model, second_runs
from niah.commands.crosscheck.settings import CrosscheckSettings
from niah.commands.crosscheck.summary import summary
from niah.commands.results import write
from niah.commands.words import folder_arguments, own_settings, restart_with_environment
from niah.config import Run
from niah.disk import Lines
from niah.engines import Session, Traced, processes
from niah.engines.reply import Door, apart
from niah.engines.restart import RestartedSession
from niah.errors import NiahError
from niah.planner.fit import Fit
from niah.prompts.recipe import Built, Recipe
from niah.records import RETRIED, Completion, Failure, Prompt, Row, RunRecord, Trial
from niah.runs import capacity, measure, scoring, store
from niah.runs.console import Console
from niah.runs.record import fingerprint
from niah.runs.store import RunFolder
from niah.scorers.outcome import judge
from niah.stats.agreement import verdict
from niah.terminal import say

_RETRIED = {outcome.value for outcome in RETRIED}
Key = tuple[str, int, str, str]
"""What names an answer of the first engine: variant, trial, sha256 of the prompt, response."""


@dataclass(frozen=True)
class _Check:
    """A finished run and what is asked of it again: ``why`` each trial, by its number; ``lines`` keep the answers."""

    path: str
    folder: RunFolder
    record: RunRecord
    recipe: Recipe
    why: dict[int, str]
    lines: Lines


def main(words: list[str]) -> int:
    """Exit code of ``crosscheck DIR [engine=NAME] [crosscheck.key=...]``."""
    restart_with_environment(["engine=transformers", *words])
    paths, rest = folder_arguments("crosscheck", words)
    if len(paths) > 1:
        raise NiahError(
            f"crosscheck: got {paths[1]!r} beside {paths[0]!r}; expected one run, as crosscheck outputs/NAME"
        )
    say(*crosscheck(paths[0], rest, Console()))
    return 0


def crosscheck(path: str, words: Sequence[str], console: Console) -> list[str]:
    """What to print. Finished answers stay in crosscheck.jsonl; the same command goes on where it was stopped."""
    folder, record = store.opened(path)
    settings, overrides = own_settings("crosscheck", CrosscheckSettings, words)
    seconds = second_runs(record, overrides)
    with folder:
        rows = folder.rows()
        _refuse(path, record, rows)
        chosen = sample(rows, settings.trials)
        asked = [row for _, group in chosen for row in group]
        why = {group[0].trial: kind for kind, group in chosen}
        lines = Lines(folder.path / "crosscheck.jsonl")
        check = _Check(path, folder, record, Recipe(config.stored(store.settings_of(record))), why, lines)
        packages = environment.describe().packages
        facts: dict[str, Any] = {}
        done = {(line["mark"], *_line_key(line)) for line in _read(lines) if line["second"]["outcome"] not in _RETRIED}
        with console.log_to(folder.path / "crosscheck.log"):
            for second, own in _by_cache(seconds, asked):
                mark = _mark(record, second, packages)
                todo = [row for row in own if (mark, *_row_key(row)) not in done]
                asked_for = f"{len(todo)} of {len(own)} answers to ask {_name(second)} for"
                console.note(f"{path}: {asked_for}; its log is in crosscheck.log")
                if todo:
                    facts[second.kv.name] = _ask(check, second, todo, mark, console)
        marks = {_mark(record, second, packages) for second in seconds.values()}
        latest = _latest(lines, marks, {_row_key(row) for row in asked}, record.scope.variants)
        found = summary(latest, settings, path, _all_named(seconds), len({row.trial for row in rows}))
        content = {
            "schema": 1, "settings": dataclasses.asdict(settings), "second": _plain(seconds),
            "facts": {**_known_facts(folder, seconds), **facts}, **found.content,
        }
        write(folder.path / "crosscheck.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        if failed := [line for line in latest if line["second"]["outcome"] in _RETRIED]:
            say(*found.lines, file=console.out)
            raise NiahError(
                f"{path}: {len(failed)} answers failed on the second engine (trial {failed[0]['trial']}: "
                f"{failed[0]['second']['error']}); the same command asks again"
            )
    return [*found.lines, f"all of them: {lines.path}, {folder.path / 'crosscheck.json'}"]


def _refuse(path: str, record: RunRecord, rows: Sequence[Row]) -> None:
    """Raises NiahError for a run that no model answered, or that has no answer yet."""
    engine = config.stored(store.settings_of(record)).engine
    if not engine.holds_a_model:
        raise NiahError(
            f"{path}: was answered by engine={engine.name}, which holds no model; "
            f"expected a run of {' or '.join(holding_a_model())}"
        )
    if not any(row.score is not None for row in rows):
        raise NiahError(f"{path}: no trial has an answer yet; run it first")


def _by_cache(seconds: dict[str, Run], rows: Sequence[Row]) -> Iterator[tuple[Run, list[Row]]]:
    """Each way the second engine is opened, once, with the rows it has to answer."""
    for name in dict.fromkeys(second.kv.dtype for second in seconds.values()):
        firsts = [dtype for dtype, second in seconds.items() if second.kv.dtype == name]
        if own := [row for row in rows if row.kv_cache_dtype in firsts]:
            yield seconds[firsts[0]], own


def _ask(check: _Check, second: Run, todo: Sequence[Row], mark: str, console: Console) -> dict[str, Any]:
    """Asks one open engine for all of ``todo`` and keeps each answer; returns what the engine says of itself."""
    fit = next(iter(capacity.check(second).values()))
    groups, ordered = _in_order(check, todo, fit)
    built: dict[int, Built] = {}

    def prompts() -> Iterator[tuple[int, Prompt]]:
        for place, group in enumerate(groups):
            built[place] = check.recipe.rebuild(group[0], check.record.sources, check.path)
            yield place, built[place].prompt

    longest = check.recipe.max_read(ordered)
    second.engine.check(check.recipe.files, second.model, longest)
    job = measure.job_of(second, check.recipe, fit, longest, check.folder.path / "crosscheck.log")

    def opened() -> Session:
        return second.engine.open(job)

    progress = console.progress(len(groups), 0, sum(group[0].length for group in groups))
    with processes.watched(check.folder.path), closing(RestartedSession(opened, console.note)) as session:
        try:
            door = Door(check.recipe.tokenizer, check.recipe.delimiters)
            for place, result in door.answers(session, prompts()):
                made = built.pop(place)
                for row in groups[place]:
                    check.lines.append(_line(check, made, row, result, second, mark, session))
                progress.advance(groups[place][0].length, len(made.prompt.ids))
        finally:
            progress.close()
        return session.facts()


def _in_order(check: _Check, todo: Sequence[Row], fit: Fit) -> tuple[list[list[Row]], list[Trial]]:
    """Rows that share a prompt, in the order in which they are asked: discordant trials first; and their trials.

    Raises NiahError where one does not fit the second engine.
    """
    asked: dict[tuple[int, str], list[Row]] = {}  # variants of one trial may have read different prompts
    for row in todo:
        if row.length in fit.unfit:
            raise NiahError(
                f"{check.path}: trial {row.trial} does not fit the second engine: {fit.unfit[row.length]}; "
                "take engine.chunk_tokens smaller or another engine"
            )
        asked.setdefault((row.trial, row.prompt_sha256), []).append(row)
    trials = {row.trial: check.recipe.trial_of(row, check.path) for row in todo}
    numbers = list(dict.fromkeys(number for number, _ in asked))
    ordered = [
        trial
        for is_first in (True, False)
        for trial in grid.in_running_order(
            [trials[number] for number in numbers if (check.why[number] == "discordant") is is_first],
            check.recipe.run.ctx.share,
        )
    ]
    place = {trial.index: number for number, trial in enumerate(ordered)}
    return [asked[key] for key in sorted(asked, key=lambda key: place[key[0]])], ordered


def _line(
    check: _Check, made: Built, row: Row, result: Completion | Failure, second: Run, mark: str, session: Session
) -> dict[str, Any]:
    """One answer beside its row, both judged by today's rules: a line of crosscheck.jsonl."""
    row = scoring.judged(row, check.recipe.run.scorer, made.problem.question)
    common = {
        "mark": mark, "trial": row.trial, "variant": row.variant, "why": check.why[row.trial], "length": row.length,
        "depth": row.depth, "repeat": row.repeat, "prompt_sha256": row.prompt_sha256, "targets": row.targets,
        "first": {
            "engine": row.engine, "response": row.response, "score": row.score, "outcome": row.outcome,
            "num_tokens": row.num_completion_tokens, "finish_reason": row.finish_reason, "logprob": row.logprob,
        },
    }
    answer = {"engine": second.engine.name, "served": session.served, "seconds": round(result.seconds, 4)}
    if isinstance(result, Failure):
        failure = {**answer, "outcome": result.outcome.value, "error": secrets.masked(result.message), "score": None}
        return {**common, "second": failure}
    tokenizer = check.recipe.tokenizer
    score, outcome = judge(
        result.text, made.problem, check.recipe.run.scorer, result.finish_reason, in_thinking=result.ended_in_thinking
    )
    steps = result.steps if isinstance(result, Traced) else ()
    ids = [next(iter(step)) for step in steps]
    answer |= {
        "response": secrets.without_values(result.text), "score": score.value, "outcome": outcome.value,
        "num_tokens": result.num_tokens, "finish_reason": result.finish_reason,
        "logprob": result.grade and round(result.grade.logprob, 6), "ids": ids,
    }
    assert row.score is not None  # the sample holds answered rows alone
    told = (secrets.without_values(result.thinking), answer["response"], result.finish_reason)
    same = (*apart(row), row.finish_reason) == told
    compared: dict[str, Any] = {
        "verdict": verdict(row.score, score.value), "is_same": same, "difference": None, "ids_counted": None,
    }
    if steps and not result.thinking:  # the ids of a thought that was cut off are not stored
        first = stored_answer(tokenizer, row.response, row.num_completion_tokens, row.finish_reason == "stop", ids)
        compared["ids_counted"] = first.is_counted
        if not same and (place := first_difference(tokenizer, first, ids, steps)):
            compared["difference"] = dataclasses.asdict(place)
    return {**common, "second": answer, **compared}


def _read(lines: Lines) -> list[dict[str, Any]]:
    """All lines. Raises NiahError for one that is no answer of a second engine."""
    found = lines.read()
    for number, line in enumerate(found, 1):
        try:
            hash((line["mark"], *_line_key(line), line["second"]["outcome"], line["second"]["score"]))
            _ = {**line["first"], **line["second"]}
        except (KeyError, TypeError) as error:
            raise NiahError(
                f"{lines.path}: answer {number} is none of crosscheck's ({type(error).__name__}: {error}); expected "
                "what niah wrote; delete that line, or the file"
            ) from error
    return found


def _latest(lines: Lines, marks: set[str], wanted: set[Key], variants: Sequence[str]) -> list[dict[str, Any]]:
    """The last line of each wanted answer (a failed one may have been answered later), in the order of the variants."""
    latest = {_line_key(line): line for line in _read(lines) if line["mark"] in marks and _line_key(line) in wanted}
    order = {name: place for place, name in enumerate(variants)}
    return sorted(latest.values(), key=lambda line: order.get(line["variant"], -1))


def _mark(record: RunRecord, second: Run, packages: Mapping[str, str]) -> str:
    """Identifies the run, the second engine with all its settings, and its software."""
    return fingerprint({
        "run": record.fingerprint, "engine": second.resolved["engine"], "kv": second.kv.dtype, "packages": packages,
    })[:16]


def _name(second: Run) -> str:
    attention = f" {second.engine.attention[0]}" if second.engine.attention else ""
    return f"{second.engine.name}{attention} (kv={second.kv.name})"


def _all_named(seconds: dict[str, Run]) -> str:
    names = list(dict.fromkeys(_name(second) for second in seconds.values()))
    return names[0] if len(names) == 1 else f"{names[0].partition(' (')[0]} (each under its own KV dtype)"


def _plain(seconds: dict[str, Run]) -> dict[str, Any]:
    return {dtype: {"engine": one.resolved["engine"], "kv": one.kv.dtype} for dtype, one in seconds.items()}


def _known_facts(folder: RunFolder, seconds: dict[str, Run]) -> dict[str, Any]:
    """What the same second engine said of itself in the check before."""
    file = folder.path / "crosscheck.json"
    try:
        known = disk.parsed(file.read_bytes()) if file.is_file() else {}
    except (ValueError, OSError):
        return {}
    return dict(known.get("facts") or {}) if known.get("second") == json.loads(json.dumps(_plain(seconds))) else {}


def _row_key(row: Row) -> Key:
    return row.variant, row.trial, row.prompt_sha256, row.response


def _line_key(line: dict[str, Any]) -> Key:
    return line["variant"], line["trial"], line["prompt_sha256"], line["first"]["response"]
