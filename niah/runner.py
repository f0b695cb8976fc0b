"""The one loop: plan, what is done already, engine, rows."""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from niah import environment, plan, planning, steps
from niah.config import Run, flat
from niah.console import Console
from niah.engines import Job
from niah.errors import NiahError
from niah.planner.fit import Fit
from niah.recipe import Recipe
from niah.records import Failure, Outcome, Row, Trial
from niah.scorers.outcome import judge
from niah.steps import Answered
from niah.store import RunFolder
from niah.units import format_length


@dataclass(frozen=True)
class Summary:
    """What a run left: its folder, all its rows and how many of them are new."""

    folder: Path
    run: dict[str, Any]
    rows: list[Row]
    num_new: int


def run(settings: Run, console: Console) -> Summary:
    """Runs every trial that has no answer yet. Finished rows survive whatever ends it."""
    fit = planning.check(settings)
    for length, why in fit.unfit.items():
        console.note(f"{format_length(length)} does not fit: {why}")
    recipe = Recipe(settings)
    for line in (*(f"licence of {settings.model.name}: {notice}" for notice in settings.model.notices), *recipe.notes()):
        console.note(line)
    recipe.check(without=fit.unfit)
    content = _content(settings, recipe)
    name = settings.name or _automatic_name(settings, content["fingerprint"])
    with RunFolder(Path(settings.outputs) / name) as folder:
        stored = folder.read_run() or {}
        if stored:
            _check_same_settings(stored, content, folder)
        finished = {row.trial for row in folder.drop_retried()}
        todo = [trial for trial in plan.in_running_order(recipe.trials) if trial.index not in finished]
        if not todo:  # a finished run keeps the record of the software that measured it
            console.note(f"{folder.path}: all {len(finished)} trials were done before; name=... measures them again")
            return Summary(folder.path, stored, folder.rows(), 0)
        if finished:
            _check_same_software(stored, content, folder)
        session = {"started": _now(), "trials_before": len(finished)}
        sessions = [*stored.get("sessions", ()), session]
        record = {"name": name, **content, "engine": {"name": settings.engine.name}, "sessions": sessions}
        folder.write_run(record)
        console.note(f"{folder.path}: {len(todo)} of {len(recipe.trials)} trials to run; engine log in engine.log")
        try:
            with console.log_to(folder.path / "engine.log"):
                _measure(settings, recipe, fit, folder, todo, record, console)
        finally:
            session["finished"] = _now()
            folder.write_run(record)
        return Summary(folder.path, record, folder.rows(), len(todo))


def _measure(
    settings: Run, recipe: Recipe, fit: Fit, folder: RunFolder, todo: list[Trial], record: dict[str, Any], console: Console
) -> None:
    """Opens the engine, sends it the trials and writes each row; fills in ``record``."""
    for trial in [trial for trial in todo if trial.length in fit.unfit]:
        folder.append(_unfit(settings, trial, fit.unfit[trial.length]))
    todo = [trial for trial in todo if trial.length not in fit.unfit]
    if not todo:
        return
    reader, model = settings.reader, settings.model
    sizes = {} if reader.reads_all else {trial.length: recipe.num_read(trial) for trial in recipe.trials[::-1]}
    work = dict(zip(
        (trial.index for trial in todo),
        plan.expected_work(todo, settings.task.answer_tokens, settings.engine.prefix_caching, sizes.get if sizes else None),
        strict=True,
    ))
    longest = recipe.max_read([trial for trial in recipe.trials if trial.length not in fit.unfit])
    is_extended = longest > model.max_length
    job = Job(
        files=recipe.files,
        tokenizer=recipe.tokenizer,
        dtype=settings.model.dtype,
        kv_cache_dtype=settings.kv.dtype,
        max_length=longest,
        seed=settings.seed,
        tensor_parallel=fit.setup.tensor_parallel,
        arguments={**model.engine_args, **(model.extended_args if is_extended else {})},
        environment={name: str(value) for name, value in model.extended_environment.items()} if is_extended else {},
    )
    with closing(_open(settings, job, folder)) as session:
        record["engine"] = session.facts()
        folder.write_run(record)
        begun = time.perf_counter()
        progress = console.progress(len(recipe.trials), len(recipe.trials) - len(todo), sum(work.values()))
        try:
            for answered in steps.answers(session, recipe, todo):
                row = _row(settings, answered)
                folder.append(row)
                progress.advance(work[row.trial], row.num_prompt_tokens - (row.num_cached_tokens or 0))
        finally:
            progress.close()
            record["sessions"][-1]["trials_seconds"] = round(time.perf_counter() - begun, 2)
        record["engine"] = session.facts()


def _unfit(settings: Run, trial: Trial, reason: str) -> Row:
    """A trial that was never sent: its length has no room on this machine."""
    return Row(
        trial=trial.index, length=trial.length, depth=trial.depth, repeat=trial.repeat, outcome=Outcome.DOES_NOT_FIT.value,
        score=None, response="", answer="", targets=[], prompt_sha256="", num_prompt_tokens=0, num_cached_tokens=None,
        num_completion_tokens=0, finish_reason="not sent", needle_spans=[], needle_depths=[], needles_kept=[],
        repeated_share=0.0, seconds=0.0, first_token_seconds=None, model=settings.model.name, task=settings.task.name,
        haystack=settings.haystack.name, reader=settings.reader.name, engine=settings.engine.name,
        kv_cache_dtype=settings.kv.dtype, error=reason,
    )


def _open(settings: Run, job: Job, folder: RunFolder):
    try:
        return settings.engine.open(job)
    except NiahError as error:
        raise NiahError(f"{error}; the engine's log is {folder.path / 'engine.log'}") from error


def _row(settings: Run, answered: Answered) -> Row:
    trial, built, result, found = answered.trial, answered.built, answered.result, answered.retrieval
    common = {
        "trial": trial.index,
        "length": trial.length,
        "depth": trial.depth,
        "repeat": trial.repeat,
        "targets": list(built.problem.targets),
        "distractors": list(built.problem.distractors),
        "prompt_sha256": built.prompt.sha256,
        "needle_spans": [list(span) for span in built.prompt.spans],
        "needle_depths": list(built.context.depths),
        "needles_kept": list(built.view.kept),
        "repeated_share": round(built.stretch.repeated_share, 6),
        "num_prompt_tokens": answered.num_read,
        "model": settings.model.name,
        "task": settings.task.name,
        "haystack": built.stretch.source,
        "reader": settings.reader.name,
        "engine": settings.engine.name,
        "kv_cache_dtype": settings.kv.dtype,
        "seconds": round(result.seconds, 4),
        "route": answered.route,
    }
    if found:
        common |= {
            "retrieved": [list(chunk) for chunk in found.chunks],
            "needles_retrieved": list(found.needles),
            "index_seconds": round(found.index_seconds, 4),
            "retrieval_seconds": round(found.seconds, 4),
        }
    if isinstance(result, Failure):
        return Row(
            **common, outcome=result.outcome.value, score=None, response="", answer="", num_cached_tokens=None,
            num_completion_tokens=0, finish_reason="error", first_token_seconds=None, error=result.message,
        )
    score, outcome = judge(result.text, built.problem, settings.scorer, result.finish_reason)
    first = result.first_token_seconds
    return Row(
        **common, outcome=outcome.value, score=score.value, response=result.text, answer=score.answer,
        num_cached_tokens=result.num_cached_tokens, num_completion_tokens=result.num_tokens,
        finish_reason=result.finish_reason, first_token_seconds=None if first is None else round(first, 4),
    )


def _content(settings: Run, recipe: Recipe) -> dict[str, Any]:
    """What run.json holds before the first trial."""
    sources = {**recipe.sources(), "model_identity": recipe.files.identity}
    return {
        "fingerprint": plan.fingerprint({"config": settings.content, "sources": sources}),
        "config": settings.resolved,
        "sources": {**sources, "model_licence": settings.model.licence, "model_notices": settings.model.notices},
        "plan": {
            "num_trials": len(recipe.trials), "answer_tokens": settings.task.answer_tokens,
            "has_depth": settings.task.has_depth,
        },
        "environment": environment.describe(),
    }


def _automatic_name(settings: Run, fingerprint: str) -> str:
    parts = (settings.model.name, settings.task.name, settings.haystack.name, settings.reader.name, settings.kv.name)
    return "-".join((*parts, fingerprint[:8]))


def _check_same_settings(stored: dict[str, Any], content: dict[str, Any], folder: RunFolder) -> None:
    if stored["fingerprint"] == content["fingerprint"]:
        return
    ignored = ("name", "outputs", "report", "hardware")
    old, new = (
        flat({**{k: v for k, v in c["config"].items() if k not in ignored}, "sources": c["sources"]})
        for c in (stored, content)
    )
    differing = [
        f"{key} (there {old.get(key)!r}, now {new.get(key)!r})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    raise NiahError(
        f"{folder.path}: holds a run with other settings: {', '.join(differing)}; "
        "expected the same command; take another name= for this one"
    )


def _check_same_software(stored: dict[str, Any], content: dict[str, Any], folder: RunFolder) -> None:
    old, new = stored["environment"], content["environment"]
    versions = [
        f"{name} (there {old['packages'].get(name)}, now {new['packages'].get(name)})"
        for name in environment.DECISIVE
        if old["packages"].get(name) != new["packages"].get(name)
    ]
    cards = [[gpu["name"] for gpu in described["gpus"]] for described in (old, new)]
    if cards[0] != cards[1]:
        versions.append(f"GPUs (there {cards[0]}, now {cards[1]})")
    if versions:
        raise NiahError(
            f"{folder.path}: was begun with other software: {', '.join(versions)}; "
            "expected the same, or its answers would be of two engines; take another name="
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
