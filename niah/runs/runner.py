"""The one loop: what fits, what is done already, then for each variant its engine and its rows."""

import glob
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from niah import grid
from niah.config import Run
from niah.engines import Job, Session, processes
from niah.engines.failures import ENDED_BY_IT
from niah.engines.restart import RestartedSession
from niah.errors import EngineStoppedError, NiahError, NoRoomError
from niah.planner import serving
from niah.planner.fit import Fit
from niah.prompts.recipe import Recipe
from niah.records import Completion, Outcome, Row, RunRecord, Trial
from niah.runs import capacity, control, expectation, history, record, resume, store, trials
from niah.runs.agenda import Agenda, Chooser
from niah.runs.beginnings import Beginnings
from niah.runs.console import Console, Progress
from niah.runs.excerpts import Excerpts
from niah.runs.journal import Journal
from niah.runs.store import RunFolder
from niah.runs.variants import Variant, variants
from niah.stats import computed_tokens
from niah.stats.computed_tokens import Tokens
from niah.units import format_length

_PROMPTS_OF_A_GROWN_RUN = 4


@dataclass(frozen=True)
class Summary:
    """What a run left: its folder, its record, all its rows and how many of them are new.

    ``asked`` are the rows of what this command asked for, where the folder may hold more. ``passed_over`` are variant
    and trial of those without an answer that the same command does not ask again.
    """

    folder: Path
    record: RunRecord
    rows: list[Row]
    asked: list[Row]
    num_new: int
    passed_over: frozenset[tuple[str, int]] = frozenset()


OnRow = Callable[[RunRecord, RunFolder], None]
"""Is told after each row: the record as it stands, and the folder that the row is in."""
Choosing = Callable[[str, Sequence[Trial]], Chooser]
"""Makes the chooser of a variant's trials, of those that the run's settings allow."""


def run(
    settings: Run, console: Console, on_row: OnRow = lambda record, folder: None, calibration: Sequence[str] = (),
    choosing: Choosing | None = None, *, waits: bool = False,
) -> Summary:
    """Runs every trial that has no answer yet, or those that are chosen meanwhile. Finished rows survive whatever ends
    it.

    ``calibration`` is what a constructed model showed of the same engine just before, for the record. ``waits``: the
    folder may be in use by another process of the same sweep, whose trials these join.
    """
    asked = variants(settings)
    try:
        fits = capacity.check(settings)
    except NiahError:  # the server is off, or this machine too small: what is finished needs neither
        if done := _finished_before(settings):
            return _all_done(settings, *done, console)
        raise
    for variant in asked:
        for length, why in fits[variant.name].unfit.items():
            which = f"{variant.name}: " if len(asked) > 1 else ""
            console.note(f"{which}{format_length(length)} does not fit: {why}")
    recipe = Recipe(settings)
    try:
        _check_files(settings, recipe, asked, fits)
    except NiahError:  # its weights may be gone since
        if done := _finished_before(settings):
            return _all_done(settings, *done, console)
        raise
    licences = [f"licence of {settings.model.name}: {notice}" for notice in settings.model.notices]
    for line in (*capacity.notes(settings), *settings.engine.notes(), *licences, *recipe.notes()):
        console.note(line)
    recipe.check(without=set.intersection(*({*fit.unfit} for fit in fits.values())))
    fresh = record.of_run(settings, recipe)
    with RunFolder(Path(settings.outputs) / fresh.name, waits=waits) as folder:
        stored = _stored(settings, recipe, fresh, folder, console)
        if stored:
            resume.check_same_settings(stored, fresh, settings, folder)
        whole, recipe = _whole(settings, recipe, stored, folder)
        is_continued = stored is not None and not resume.other_software(stored, fresh)
        if stored and is_continued and (begun := resume.as_begun(settings, stored)) != settings:
            settings, fits = begun, capacity.check(begun)
            asked = variants(settings)

        def fits_now(row: Row) -> bool:
            """What had no room may have it by now, or with fewer replicas."""
            if row.outcome != Outcome.DOES_NOT_FIT or not is_continued or not recipe.holds(row):
                return False
            fit = fits.get(row.variant or only)
            return fit is not None and row.length not in fit.unfit

        passed_over = set() if settings.retry else resume.passed_over(whole, folder)
        only = variants(whole)[0].name

        def is_passed_over(row: Row) -> bool:
            return (row.variant or only, row.trial) in passed_over

        finished = resume.answered(whole, folder.drop_retried(fits_now, is_passed_over), passed_over)
        ordered = grid.in_running_order(recipe.trials, settings.ctx.share)
        failed = resume.failed(whole, folder)
        todo = {
            variant.name: resume.failed_last(
                [trial for trial in ordered if (variant.name, trial.index) not in finished], variant.name, failed
            )
            for variant in asked
        }
        num_new, num_asked = sum(map(len, todo.values())), len(recipe.trials) * len(asked)
        due = {*stored.control_due} if stored and is_continued else set()
        if stored and not num_new and not due & {variant.name for variant in asked}:
            return _all_done(settings, folder, stored, console)  # it keeps the record of the software that measured it
        if stored and finished:
            resume.check_same_software(stored, fresh, folder)
            if line := resume.note_of_prompts(recipe, folder):
                console.note(line)
        own = history.asked(settings, is_chosen=choosing is not None)
        grids = [*(history.grids(stored, str(folder.run_path)) if stored else ()), own]
        fresh = record.of_all(fresh, whole, history.num_planned(grids, folder.rows()))
        if not choosing:  # how many there will be is not known
            fresh = replace(fresh, expected=expectation.expected(whole, fits))
        journal = Journal(folder, _with(calibration, resume.continued(stored, fresh, due) if stored else fresh))
        journal.begin(len(finished), own)
        to_do = f"{num_new} of {num_asked} trials to run" if num_new else "only the rest of the control sample to run"
        if choosing:
            to_do = f"{num_asked - num_new} trials done, the next are chosen as answers come"
        else:
            to_do += expectation.to_compute(settings, todo)
        console.note(f"{folder.path}: {to_do}; engine log in engine.log")
        for line in capacity.choice_lines(settings, fits):
            console.note(line)
        if passed_over:
            console.note(f"passed over: {len(passed_over)} that {resume.PASSED_OVER}")
        parts = [
            _Part(
                variant.of(settings), variant.name, recipe, fits[variant.name], folder, todo[variant.name], journal,
                console, on_row, choosing(variant.name, recipe.trials) if choosing else None,
            )
            for variant in asked if todo[variant.name] or variant.name in due
        ]
        try:
            with console.log_to(folder.path / "engine.log"), _watched(settings, folder.path, console):
                _measure_each(parts)
        except BaseException:
            with suppress(NiahError):  # the first error is the one to report
                journal.finish()
            raise
        journal.finish()
        rows = folder.rows()
        if choosing:
            journal.planned(history.num_planned(grids, rows))
            num_new = len(rows) - len(finished)
        ends = (
            *computed_tokens.lines(journal.record.sessions), control.sentence(folder.controls()),
            trials.cut_in_thinking(rows), trials.ungraded(rows),
        )
        for line in filter(None, ends):
            console.note(line)
        passed_over = resume.passed_over(whole, folder)
        return Summary(
            folder.path, journal.record, rows, _of_asked(settings, recipe, only, rows), num_new, frozenset(passed_over)
        )


def _grids(settings: Run, stored: RunRecord | None, folder: RunFolder) -> list[Mapping[str, Any]]:
    """What the folder was asked so far, and what it is asked now."""
    return [*(history.grids(stored, str(folder.run_path)) if stored else ()), history.asked(settings)]


def _whole(
    settings: Run, recipe: Recipe, stored: RunRecord | None, folder: RunFolder
) -> tuple[Run, Recipe]:
    """The run with all that its folder holds, and the recipe with the folder's numbers of trials.

    Raises NiahError for rows that are none of this run's, and where text that was made for longer contexts changes the
    prompts of rows that are there.
    """
    if stored is None:
        return settings, recipe
    numbers = history.numbers(_grids(settings, stored, folder))
    whole = history.whole(settings, stored)
    resume.check_rows(whole, numbers, folder)
    longest = max(whole.ctx.lengths)
    joined = recipe.within(longest, numbers)
    if settings.haystack.endless and longest > max(stored.lengths) and (
        wrong := resume.differing_prompts(joined, folder.rows(), num=_PROMPTS_OF_A_GROWN_RUN)
    ):
        raise NiahError(
            f"{folder.path}: trial {wrong[0]} would have another prompt beside {format_length(longest)}, as the text "
            "made for it holds what is asked for there; expected the same; take another name= for these lengths"
        )
    return whole, joined


def _of_asked(settings: Run, recipe: Recipe, only: str, rows: Sequence[Row]) -> list[Row]:
    """The rows of the variants and cells that were asked for; ``only`` is the variant of rows that name none."""
    names = {variant.name for variant in variants(settings)}
    return [row for row in rows if (row.variant or only) in names and recipe.holds(row)]


def _with(calibration: Sequence[str], found: RunRecord) -> RunRecord:
    """The record with what a calibration showed just before; without one, with what an earlier one did."""
    return replace(found, calibration=[*calibration]) if calibration else found


def _check_files(settings: Run, recipe: Recipe, asked: list[Variant], fits: Mapping[str, Fit]) -> None:
    """Raises NiahError for what the model's own files rule out, before text is read and an engine started; an engine
    that holds no model needs no files."""
    for variant in asked if settings.engine.holds_a_model else ():
        if fitting := [trial for trial in recipe.trials if trial.length not in fits[variant.name].unfit]:
            variant.engine.check(recipe.files, settings.model, recipe.max_read(fitting))


@contextmanager
def _watched(settings: Run, folder: Path, console: Console) -> Iterator[None]:
    """While engines are open here: none outlives this process. Names what an earlier command left in memory."""
    if not (settings.engine.holds_a_model or settings.engine.replicas > 1):
        yield
        return
    for left in processes.left_behind():
        console.note(str(left))
    with processes.watched(folder):
        yield


def _stored(
    settings: Run, recipe: Recipe, fresh: RunRecord, folder: RunFolder, console: Console
) -> RunRecord | None:
    """The record of the run that is here, None where there is none; where it or the rows are lost, what the other
    tells."""
    damage = ""
    try:
        found = folder.record()
    except record.UnreadableError as error:
        found, damage = None, str(error)
    if found is None and folder.rows():
        found = resume.recovered(settings, recipe, fresh, folder)
        how = f"{damage}; it" if damage else f"{folder.run_path}: is gone; it"
        console.note(f"{how} is written anew: the rows that are there are this command's")
    elif found is not None and found.sessions and not folder.rows_path.exists() and _had_rows(found):
        console.note(
            f"{folder.rows_path}: is gone, though this run began {found.sessions[0].started}; all trials are asked anew"
        )
    if found is not None and not folder.has_record():
        folder.write_record(found)
    return found


def _had_rows(found: RunRecord) -> bool:
    """Whether a trial was ever answered, as far as run.json tells."""
    last = found.sessions[-1]
    return any(session.trials_before for session in found.sessions) or any(last.trials_seconds.values())


def _finished_before(settings: Run) -> tuple[RunFolder, RunRecord] | None:
    """The folder and record of this very run where it has an answer for every trial."""
    root = Path(settings.outputs)
    patterns = [name(settings, "*", glob.escape) for name in (record.name_of, record.earlier_name)]
    likely = [root / settings.name] if settings.name else [path for one in patterns for path in root.glob(one)]
    if not any(store.is_run(path) for path in likely):
        return None  # nothing is loaded only to find that out
    with suppress(NiahError):
        recipe = Recipe(settings)
        fresh = record.of_run(settings, recipe)
        folder = RunFolder(root / fresh.name)
        if stored := folder.record():
            resume.check_same_settings(stored, fresh, settings, folder)
            whole, recipe = _whole(settings, recipe, stored, folder)
            passed_over = set() if settings.retry else resume.passed_over(whole, folder)
            finished = resume.answered(whole, folder.rows(), passed_over)
            if all((one.name, trial.index) in finished for one in variants(settings) for trial in recipe.trials):
                return folder, stored
    return None


def _all_done(settings: Run, folder: RunFolder, stored: RunRecord, console: Console) -> Summary:
    rows, whole = folder.rows(), history.whole(settings, stored)
    own = _of_asked(settings, Recipe(settings), variants(whole)[0].name, rows)
    console.note(f"{folder.path}: all {len(own)} trials were done before; name=... measures them again")
    if line := trials.ungraded(own):
        console.note(line)
    return Summary(folder.path, stored, rows, own, 0, frozenset(resume.passed_over(whole, folder)))


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
    on_row: OnRow
    chooser: Chooser | None = None

    @property
    def log(self) -> Path:
        return self.folder.path / "engine.log"


def _measure_each(parts: list[_Part]) -> None:
    """Measures the variants in their order. Raises EngineStoppedError at the end where an engine was given up: the next
    variant's is another one."""
    stopped: dict[str, list[str]] = {}
    for part in parts:
        try:
            _measure(part)
        except EngineStoppedError as error:
            stopped.setdefault(str(error), []).append(part.variant)
            if part is not parts[-1]:
                part.console.note(f"{part.variant}: given up ({error}); the next variant's turn")
    if stopped:
        raise EngineStoppedError("; ".join(
            f"{', '.join(names)}: {why}" if len(parts) > 1 else why for why, names in stopped.items()
        ))


def _measure(part: _Part) -> None:
    """Opens the variant's engine and sends it the trials, then its control sample; what has no room is only a row.

    Where the engine says itself how many tokens it has room for it is opened for the lengths that are within that.
    """
    settings, variant, unfit, journal = part.settings, part.variant, dict(part.fit.unfit), part.journal
    if part.chooser:
        part.chooser.resume([row for row in part.folder.rows() if (row.variant or variant) == variant])
        part = replace(part, todo=[])
    while True:
        for trial in [trial for trial in part.todo if trial.length in unfit and not part.chooser]:
            part.folder.append(trials.unfit(settings, variant, trial, unfit[trial.length]))
        todo = [trial for trial in part.todo if trial.length not in unfit]
        if part.chooser:
            part.chooser.leave_out(unfit)
            todo = todo or [*part.chooser.next()]
        fitting = [trial for trial in part.recipe.trials if trial.length not in unfit]
        if not fitting or not (todo or variant in journal.record.control_due):
            return
        part = replace(part, todo=todo)
        job = job_of(settings, part.recipe, part.fit, part.recipe.max_read(fitting), part.log)
        if job.serving:
            arguments = {**job.serving, **job.arguments, **settings.engine.args}
            part.console.note(f"engine arguments: {serving.words(arguments)}")
        try:
            with part.console.going_on(f"{variant}: the engine starts"):
                session = _open(part, job)
        except NoRoomError as error:
            unfit |= _without_room(part, fitting, error)
            continue
        break
    with closing(session):
        before = journal.record.engines.get(variant)
        resume.check_same_engine(before, session.served, part.folder)
        if note := resume.note_of_scales(before, session.served):
            part.console.note(note)
        journal.opened(variant, session, has_control=bool(settings.engine.cold_check))
        try:
            _ask(part, session, todo)
            if settings.engine.cold_check and session.can_skip_cache:
                _control(part, session)
        finally:
            journal.retried(variant, session.retried)
        journal.control_done(variant)


def _without_room(part: _Part, fitting: list[Trial], error: NoRoomError) -> dict[int, str]:
    """The lengths that an engine has no room for by its own word, with these words; at least the longest of them."""
    read = {trial.length: part.recipe.num_read(trial) for trial in fitting}
    most = min(error.max_length, max(read.values()) - 1)
    why = f"{resume.NO_ROOM_SAID} {error.max_length:,} tokens; {error.words}"
    unfit = {length: why for length, num in read.items() if num > most}
    for length in sorted(unfit):
        part.console.note(f"{part.variant}: {format_length(length)} does not fit: {unfit[length]}")
    return unfit


def _ask(part: _Part, session: Session, todo: list[Trial]) -> None:
    """Sends the trials to an open engine; each row is on disk before the next is waited for."""
    settings, variant, num_trials = part.settings, part.variant, len(part.recipe.trials)
    work = _work(settings, part.recipe, part.recipe.trials if part.chooser else todo)
    begun, graded_seconds = time.perf_counter(), 0.0
    counted, tokens = _counted(part), Tokens()
    agenda = _agenda(part, todo)
    if part.chooser:  # nobody knows how many there will be
        num_done = sum(row.variant == variant for row in part.folder.rows())
        progress = part.console.progress(0, num_done, 0)
    else:
        progress = part.console.progress(num_trials, num_trials - len(todo), sum(work.values()))
    excerpts = Excerpts(part.folder.path, part.recipe.tokenizer.decode) if settings.report.excerpts else None
    try:
        _leave_out(part, agenda, progress, work)
        for answered in trials.answers(session, part.recipe, agenda):
            row = trials.row(settings, variant, answered, session.served)
            part.folder.append(row)
            if part.chooser:
                part.chooser.tell(row)
            if excerpts:
                excerpts.add(answered.built, answered.retrieval)
            part.on_row(part.journal.record, part.folder)
            grade = answered.result.grade if isinstance(answered.result, Completion) else None
            graded_seconds += grade.seconds if grade else 0.0
            if counted and row.num_cached_tokens is not None:
                needed = counted.needed(row.repeat, answered.built.prompt.ids)
                tokens = tokens.plus(row.num_prompt_tokens, row.num_prompt_tokens - row.num_cached_tokens, needed)
            progress.advance(work[row.trial], row.num_prompt_tokens - (row.num_cached_tokens or 0))
            if isinstance(answered.result, Completion):
                agenda.answered(answered.trial)
            elif answered.result.outcome == Outcome.OUT_OF_MEMORY:
                agenda.out_of_memory(answered.trial)
                _leave_out(part, agenda, progress, work)
            elif answered.result.finish_reason == ENDED_BY_IT:
                agenda.put_off(answered.trial)
    except Exception:
        with suppress(Exception):  # the first error is the one to report
            part.journal.facts(variant, session)
        raise
    finally:
        progress.close()
        part.journal.took(variant, trials=time.perf_counter() - begun, graded=graded_seconds)
        if tokens.sent:
            part.journal.computed(variant, tokens)
    part.journal.facts(variant, session)


def _counted(part: _Part) -> Beginnings | None:
    """What counts the tokens that need computing; None where no prefix cache is used, or a trial has two prompts."""
    settings, facts = part.settings, part.journal.record.engines[part.variant]
    if not (settings.engine.prefix_caching and facts.block_size) or settings.reader.may_read_twice:
        return None
    return Beginnings(facts.block_size, 2 * settings.engine.replicas)


def _agenda(part: _Part, todo: list[Trial]) -> Agenda:
    """The trials to send, with what earlier commands found out about the memory."""
    own = [row for row in part.folder.rows() if (row.variant or part.variant) == part.variant]
    one_of = {trial.length: trial for trial in part.recipe.trials}
    own = [row for row in own if row.length in one_of]
    before = Counter(row.length for row in own if row.outcome == Outcome.OUT_OF_MEMORY)
    has_room = [row.length for row in own if row.score is not None]
    sizes = {length: part.recipe.num_read(trial) for length, trial in one_of.items()}
    ordered = grid.side_by_side(todo, part.settings.engine.replicas)
    return Agenda(ordered, sizes.__getitem__, before, has_room, part.chooser)


def _leave_out(part: _Part, agenda: Agenda, progress: Progress, work: dict[int, int]) -> None:
    """Rows for the trials that have no room, as shown by others of their length or shorter ones that were sent."""
    left_out = agenda.without_room()
    for trial in left_out:
        part.folder.append(trials.unfit(part.settings, part.variant, trial, resume.NO_ROOM_SHOWN))
        progress.advance(work[trial.index], 0)
    if left_out:
        lengths = ", ".join(format_length(length) for length in sorted({trial.length for trial in left_out}))
        part.console.note(f"{part.variant}: trials of {lengths} {resume.NO_ROOM_SHOWN} ({len(left_out)})")


def _control(part: _Part, session: Session) -> None:
    """Asks the control sample, or what is left of it, without prefix cache."""
    folder, begun = part.folder, time.perf_counter()
    own = [row for row in folder.rows() if part.recipe.holds(row)]
    sample = control.sample(own, part.settings.engine.cold_check, folder.controls(), part.variant)
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
        todo, settings.answer_tokens, settings.engine.prefix_caching, sizes.__getitem__ if sizes else None,
        settings.ctx.share,
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
        trust_remote_code=model.trust_remote_code,
        allow_pickle=model.allow_pickle,
        serving=capacity.serving_arguments(settings, fit, longest),
        arguments=model.arguments_at(longest, is_wrapped=recipe.files.is_wrapped),
        environment={**capacity.engine_environment(longest), **model.environment_at(longest)},
        log=log,
    )


def _open(part: _Part, job: Job) -> Session:
    """The variant's engine, which is opened again where it ends. Raises EngineStoppedError where it does not start, as
    another variant's may, NoRoomError where it has room for shorter prompts."""

    def opened() -> Session:
        try:
            return part.settings.engine.open(job)
        except NoRoomError:
            raise
        except NiahError as error:
            raise EngineStoppedError(f"{error}; the engine's log is {part.log}") from error

    return RestartedSession(opened, lambda line: part.console.note(f"{part.variant}: {line}"))
