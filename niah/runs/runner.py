"""The one loop: plan, what is done already, then for each variant its engine and its rows."""

import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from niah import grid
from niah.commands import plan as planning
from niah.config import Run
from niah.engines import Job, Session
from niah.errors import NiahError
from niah.planner import serving
from niah.planner.fit import Fit
from niah.prompts.recipe import Recipe
from niah.records import Outcome, Row, Trial
from niah.runs import control as cold
from niah.runs import resume, rows, trials
from niah.runs.console import Console
from niah.runs.store import RunFolder
from niah.runs.variants import Variant, variants
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
    arms = variants(settings)
    try:
        fits = planning.check(settings)
    except NiahError:  # the server is off, or this machine too small: what is finished needs neither
        if done := _finished_before(settings):
            return _all_done(*done, console)
        raise
    for arm in arms:
        for length, why in fits[arm.name].unfit.items():
            console.note(f"{f'{arm.name}: ' if len(arms) > 1 else ''}{format_length(length)} does not fit: {why}")
    recipe = Recipe(settings)
    for line in (*(f"licence of {settings.model.name}: {notice}" for notice in settings.model.notices), *recipe.notes()):
        console.note(line)
    recipe.check(without=set.intersection(*({*fit.unfit} for fit in fits.values())))
    content = resume.content(settings, recipe)
    name = resume.name_of(settings, content["fingerprint"])
    with RunFolder(Path(settings.outputs) / name) as folder:
        stored = folder.read_run() or {}
        if stored:
            resume.check_same_settings(stored, content, folder)
        is_continued = bool(stored) and not resume.other_software(stored, content)

        def fits_now(row: Row) -> bool:
            """What had no room may have it by now, or with fewer replicas."""
            return is_continued and row.outcome == Outcome.DOES_NOT_FIT and row.length not in fits[row.variant or arms[0].name].unfit

        finished = resume.answered(settings, folder.drop_retried(fits_now))
        ordered = grid.in_running_order(recipe.trials)
        todo = {arm.name: [trial for trial in ordered if (arm.name, trial.index) not in finished] for arm in arms}
        num_new = sum(map(len, todo.values()))
        due = {*stored.get("control_due", ())} if is_continued else set()
        if not num_new and not due:  # a finished run keeps the record of the software that measured it
            return _all_done(folder, stored, console)
        if finished:
            resume.check_same_software(stored, content, folder)
        session = {"started": _now(), "trials_before": len(finished)}
        sessions = [*stored.get("sessions", ()), session]
        engine = stored.get("engine") or {"name": settings.engine.name}
        record = {"name": name, **content, "engine": engine, "engines": stored.get("engines", {}), "sessions": sessions, "control_due": sorted(due)}
        folder.write_run(record)
        to_do = f"{num_new} of {num_new + len(finished)} trials" if num_new else "only the rest of the control sample"
        console.note(f"{folder.path}: {to_do} to run; engine log in engine.log")
        try:
            with console.log_to(folder.path / "engine.log"):
                for arm in arms:
                    if todo[arm.name] or arm.name in due:
                        _measure(arm.of(settings), arm, recipe, fits[arm.name], folder, todo[arm.name], record, console)
        finally:
            session["finished"] = _now()
            folder.write_run(record)
        if line := cold.told(folder.controls()):
            console.note(line)
        return Summary(folder.path, record, folder.rows(), num_new)


def _finished_before(settings: Run) -> tuple[RunFolder, dict[str, Any]] | None:
    """The folder and run.json of this very run where it has an answer for every trial."""
    root = Path(settings.outputs)
    likely = [root / settings.name] if settings.name else root.glob(resume.name_of(settings, "*"))
    if not any((path / "run.json").is_file() for path in likely):
        return None  # nothing is loaded only to find that out
    with suppress(NiahError):
        recipe = Recipe(settings)
        content = resume.content(settings, recipe)
        folder = RunFolder(root / resume.name_of(settings, content["fingerprint"]))
        if stored := folder.read_run():
            resume.check_same_settings(stored, content, folder)
            if len(resume.answered(settings, folder.rows())) == len(recipe.trials) * len(variants(settings)):
                return folder, stored
    return None


def _all_done(folder: RunFolder, stored: dict[str, Any], console: Console) -> Summary:
    rows = folder.rows()
    console.note(f"{folder.path}: all {len(rows)} trials were done before; name=... measures them again")
    return Summary(folder.path, stored, rows, 0)


def _measure(
    settings: Run, arm: Variant, recipe: Recipe, fit: Fit, folder: RunFolder, todo: list[Trial], record: dict[str, Any],
    console: Console,
) -> None:
    """Opens one variant's engine, sends it the trials and writes each row; fills in ``record``."""
    for trial in [trial for trial in todo if trial.length in fit.unfit]:
        folder.append(rows.unfit(settings, arm.name, trial, fit.unfit[trial.length]))
    todo = [trial for trial in todo if trial.length not in fit.unfit]
    fitting = [trial for trial in recipe.trials if trial.length not in fit.unfit]
    if not fitting or not (todo or arm.name in record["control_due"]):
        return
    sizes = {} if settings.reader.reads_all else {length: recipe.num_read(trial) for length, trial in {trial.length: trial for trial in todo}.items()}
    work = dict(zip(
        (trial.index for trial in todo),
        grid.expected_work(todo, settings.task.answer_tokens, settings.engine.prefix_caching, sizes.get if sizes else None),
        strict=True,
    ))
    longest = recipe.max_read(fitting)
    job = job_of(settings, recipe, fit, longest, folder.path / "engine.log")
    if job.serving:
        console.note(f"engine arguments: {serving.told({**job.serving, **job.arguments, **settings.engine.args})}")
    share = getattr(settings.engine, "cold_check", 0.0)
    with closing(_open(settings, job, folder)) as session:
        resume.check_same_engine(record["engines"].get(arm.name), session.served, folder)
        if share:
            record["control_due"] = sorted({*record["control_due"], arm.name})
        _record(record, arm.name, session)
        if (retried := getattr(session, "retried", None)) is not None:
            record["sessions"][-1].setdefault("retried", {})[arm.name] = retried  # counts on until the session is closed
        folder.write_run(record)
        begun, graded_seconds = time.perf_counter(), 0.0
        progress = console.progress(len(recipe.trials), len(recipe.trials) - len(todo), sum(work.values()))
        try:
            for answered in trials.answers(session, recipe, grid.side_by_side(todo, getattr(settings.engine, "replicas", 1))):
                row = rows.finished(settings, arm.name, answered, session.served)
                folder.append(row)
                grade = getattr(answered.result, "grade", None)
                graded_seconds += grade.seconds if grade else 0.0
                progress.advance(work[row.trial], row.num_prompt_tokens - (row.num_cached_tokens or 0))
        except Exception:
            with suppress(Exception):  # the first error is the one to tell
                _record(record, arm.name, session)
            raise
        finally:
            progress.close()
            _took(record, "trials", arm.name, time.perf_counter() - begun)
            _took(record, "graded", arm.name, graded_seconds)
        _record(record, arm.name, session)
        if share and getattr(session, "can_skip_cache", True):
            begun = time.perf_counter()
            chosen = cold.chosen(folder.rows(), share, folder.controls(), arm.name)
            for control in cold.measure(session, recipe, chosen):
                folder.append_control(asdict(control))
            _took(record, "control", arm.name, time.perf_counter() - begun)
        record["control_due"] = sorted({*record["control_due"]} - {arm.name})


def _took(record: dict[str, Any], what: str, variant: str, seconds: float) -> None:
    """Notes what this session spent on a variant; the graded part is within that of the trials."""
    record["sessions"][-1].setdefault(f"{what}_seconds", {})[variant] = round(seconds, 2)


def _record(record: dict[str, Any], variant: str, session: Session) -> None:
    """``engine`` is the first variant's, for those who look at one; ``engines`` has all."""
    record["engines"][variant] = session.facts()
    record["engine"] = next(iter(record["engines"].values()))


def job_of(settings: Run, recipe: Recipe, fit: Fit, longest: int, log: Path) -> Job:
    """What an engine is opened for, ``longest`` tokens at most."""
    model = settings.model
    return Job(
        files=recipe.files,
        tokenizer=recipe.tokenizer,
        dtype=model.dtype,
        kv_cache_dtype=settings.kv.dtype,
        max_length=longest,
        seed=settings.seed,
        serving=planning.serving_arguments(settings, fit, longest),
        arguments=model.arguments_at(longest, is_wrapped=recipe.files.is_wrapped),
        environment={**planning.environment(longest), **model.environment_at(longest)},
        log=log,
    )


def _open(settings: Run, job: Job, folder: RunFolder) -> Session:
    try:
        return settings.engine.open(job)
    except NiahError as error:
        raise NiahError(f"{error}; the engine's log is {folder.path / 'engine.log'}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
