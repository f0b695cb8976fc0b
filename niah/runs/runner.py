"""The one loop: what fits, what is done already, then for each variant its engine and its rows."""

import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from niah import grid
from niah.config import Run
from niah.engines import Job, Session
from niah.errors import NiahError
from niah.planner import serving
from niah.planner.fit import Fit
from niah.prompts.recipe import Recipe
from niah.records import Completion, Outcome, Row, RunRecord, Trial
from niah.runs import capacity, control, record, resume, trials
from niah.runs.console import Console
from niah.runs.journal import Journal
from niah.runs.store import RunFolder
from niah.runs.variants import variants
from niah.units import format_length


@dataclass(frozen=True)
class Summary:
    """What a run left: its folder, its record, all its rows and how many of them are new."""

    folder: Path
    record: RunRecord
    rows: list[Row]
    num_new: int


def run(settings: Run, console: Console) -> Summary:
    """Runs every trial that has no answer yet. Finished rows survive whatever ends it."""
    asked = variants(settings)
    try:
        fits = capacity.check(settings)
    except NiahError:  # the server is off, or this machine too small: what is finished needs neither
        if done := _finished_before(settings):
            return _all_done(*done, console)
        raise
    for variant in asked:
        for length, why in fits[variant.name].unfit.items():
            which = f"{variant.name}: " if len(asked) > 1 else ""
            console.note(f"{which}{format_length(length)} does not fit: {why}")
    recipe = Recipe(settings)
    licences = [f"licence of {settings.model.name}: {notice}" for notice in settings.model.notices]
    for line in (*licences, *recipe.notes()):
        console.note(line)
    recipe.check(without=set.intersection(*({*fit.unfit} for fit in fits.values())))
    fresh = record.of_run(settings, recipe)
    with RunFolder(Path(settings.outputs) / fresh.name) as folder:
        stored = folder.record()
        if stored:
            resume.check_same_settings(stored, fresh, folder)
        is_continued = stored is not None and not resume.other_software(stored, fresh)

        def fits_now(row: Row) -> bool:
            """What had no room may have it by now, or with fewer replicas."""
            unfit = fits[row.variant or asked[0].name].unfit
            return is_continued and row.outcome == Outcome.DOES_NOT_FIT and row.length not in unfit

        finished = resume.answered(settings, folder.drop_retried(fits_now))
        ordered = grid.in_running_order(recipe.trials)
        todo = {
            variant.name: [trial for trial in ordered if (variant.name, trial.index) not in finished]
            for variant in asked
        }
        num_new = sum(map(len, todo.values()))
        due = {*stored.control_due} if stored and is_continued else set()
        if stored and not num_new and not due:  # a finished run keeps the record of the software that measured it
            return _all_done(folder, stored, console)
        if stored and finished:
            resume.check_same_software(stored, fresh, folder)
        journal = Journal(folder, resume.continued(stored, fresh, due) if stored else fresh)
        journal.begin(len(finished))
        to_do = f"{num_new} of {num_new + len(finished)} trials" if num_new else "only the rest of the control sample"
        console.note(f"{folder.path}: {to_do} to run; engine log in engine.log")
        try:
            with console.log_to(folder.path / "engine.log"):
                for variant in asked:
                    if todo[variant.name] or variant.name in due:
                        _measure(_Part(
                            variant.of(settings), variant.name, recipe, fits[variant.name], folder, todo[variant.name],
                            journal, console,
                        ))
        finally:
            journal.finish()
        if line := control.sentence(folder.controls()):
            console.note(line)
        return Summary(folder.path, journal.record, folder.rows(), num_new)


def _finished_before(settings: Run) -> tuple[RunFolder, RunRecord] | None:
    """The folder and record of this very run where it has an answer for every trial."""
    root = Path(settings.outputs)
    likely = [root / settings.name] if settings.name else root.glob(record.name_of(settings, "*"))
    if not any((path / "run.json").is_file() for path in likely):
        return None  # nothing is loaded only to find that out
    with suppress(NiahError):
        recipe = Recipe(settings)
        fresh = record.of_run(settings, recipe)
        folder = RunFolder(root / fresh.name)
        if stored := folder.record():
            resume.check_same_settings(stored, fresh, folder)
            if len(resume.answered(settings, folder.rows())) == len(recipe.trials) * len(variants(settings)):
                return folder, stored
    return None


def _all_done(folder: RunFolder, stored: RunRecord, console: Console) -> Summary:
    rows = folder.rows()
    console.note(f"{folder.path}: all {len(rows)} trials were done before; name=... measures them again")
    return Summary(folder.path, stored, rows, 0)


@dataclass(frozen=True)
class _Part:
    """One variant's part of a run: what its trials are asked with, and where rows and notes go."""

    settings: Run
    variant: str
    recipe: Recipe
    fit: Fit
    folder: RunFolder
    todo: list[Trial]
    journal: Journal
    console: Console

    @property
    def log(self) -> Path:
        return self.folder.path / "engine.log"


def _measure(part: _Part) -> None:
    """Opens the variant's engine and sends it the trials, then its control sample; what has no room is only a row."""
    settings, variant, unfit, journal = part.settings, part.variant, part.fit.unfit, part.journal
    for trial in [trial for trial in part.todo if trial.length in unfit]:
        part.folder.append(trials.unfit(settings, variant, trial, unfit[trial.length]))
    todo = [trial for trial in part.todo if trial.length not in unfit]
    fitting = [trial for trial in part.recipe.trials if trial.length not in unfit]
    if not fitting or not (todo or variant in journal.record.control_due):
        return
    job = job_of(settings, part.recipe, part.fit, part.recipe.max_read(fitting), part.log)
    if job.serving:
        arguments = {**job.serving, **job.arguments, **settings.engine.args}
        part.console.note(f"engine arguments: {serving.words(arguments)}")
    with closing(_open(part, job)) as session:
        resume.check_same_engine(journal.record.engines.get(variant), session.served, part.folder)
        journal.opened(variant, session, has_control=bool(settings.engine.cold_check))
        try:
            _ask(part, session, todo)
            if settings.engine.cold_check and session.can_skip_cache:
                _control(part, session)
        finally:
            journal.retried(variant, session.retried)
        journal.control_done(variant)


def _ask(part: _Part, session: Session, todo: list[Trial]) -> None:
    """Sends the trials to an open engine; each row is on disk before the next is waited for."""
    settings, variant, num_trials = part.settings, part.variant, len(part.recipe.trials)
    work = _work(settings, part.recipe, todo)
    begun, graded_seconds = time.perf_counter(), 0.0
    progress = part.console.progress(num_trials, num_trials - len(todo), sum(work.values()))
    try:
        for answered in trials.answers(session, part.recipe, grid.side_by_side(todo, settings.engine.replicas)):
            row = trials.row(settings, variant, answered, session.served)
            part.folder.append(row)
            grade = answered.result.grade if isinstance(answered.result, Completion) else None
            graded_seconds += grade.seconds if grade else 0.0
            progress.advance(work[row.trial], row.num_prompt_tokens - (row.num_cached_tokens or 0))
    except Exception:
        with suppress(Exception):  # the first error is the one to report
            part.journal.facts(variant, session)
        raise
    finally:
        progress.close()
        part.journal.took(variant, trials=time.perf_counter() - begun, graded=graded_seconds)
    part.journal.facts(variant, session)


def _control(part: _Part, session: Session) -> None:
    """Asks the control sample, or what is left of it, without prefix cache."""
    folder, begun = part.folder, time.perf_counter()
    sample = control.sample(folder.rows(), part.settings.engine.cold_check, folder.controls(), part.variant)
    for one in control.measure(session, part.recipe, sample):
        folder.append_control(asdict(one))
    part.journal.control_took(part.variant, time.perf_counter() - begun)


def _work(settings: Run, recipe: Recipe, todo: list[Trial]) -> dict[int, int]:
    """Tokens to compute, about, by the trial's index: for the time left."""
    sizes: dict[int, int] = {}
    if not settings.reader.reads_all:
        one_of = {trial.length: trial for trial in todo}
        sizes = {length: recipe.num_read(trial) for length, trial in one_of.items()}
    expected = grid.expected_work(
        todo, settings.task.answer_tokens, settings.engine.prefix_caching, sizes.__getitem__ if sizes else None
    )
    return dict(zip((trial.index for trial in todo), expected, strict=True))


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
        serving=capacity.serving_arguments(settings, fit, longest),
        arguments=model.arguments_at(longest, is_wrapped=recipe.files.is_wrapped),
        environment={**capacity.engine_environment(longest), **model.environment_at(longest)},
        log=log,
    )


def _open(part: _Part, job: Job) -> Session:
    try:
        return part.settings.engine.open(job)
    except NiahError as error:
        raise NiahError(f"{error}; the engine's log is {part.log}") from error
