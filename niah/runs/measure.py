"""One variant's part of a run: its engine is opened, its trials are sent, each answer is a row before the next."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from niah import grid
from niah.config import Run
from niah.engines import Job, Session
from niah.engines.failures import ENDED_BY_IT
from niah.engines.restart import RestartedSession
from niah.engines.thinking import BudgetedSession
from niah.errors import EngineStoppedError, NiahError, NoRoomError
from niah.planner import drafter, serving
from niah.planner.fit import Fit
from niah.prompts.recipe import Recipe
from niah.records import Completion, Outcome, Row, RunRecord, Trial
from niah.runs import capacity, control, resume, trials
from niah.runs.agenda import Agenda, Arranged, Chooser
from niah.runs.beginnings import Beginnings, depth_first
from niah.runs.console import Console, Progress
from niah.runs.excerpts import Excerpts
from niah.runs.journal import Journal
from niah.runs.store import RunFolder
from niah.stats.computed_tokens import Tokens
from niah.units import format_length

OnRow = Callable[[RunRecord, RunFolder], None]
"""Is told after each row: the record as it stands, and the folder that the row is in."""


Through = Callable[[Session], Session]
"""Puts something between an open engine and the trials that it is sent."""


@dataclass(frozen=True)
class Part:
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
    through: Through | None = None
    is_first: bool = True
    """Of the run's variants, whose rows name none where there is but one."""

    @property
    def log(self) -> Path:
        return self.folder.path / "engine.log"

    def own(self, rows: Sequence[Row]) -> list[Row]:
        """Those of this variant."""
        return [row for row in rows if row.variant == self.variant or (self.is_first and not row.variant)]


def measure_each(parts: list[Part]) -> None:
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


def _measure(part: Part) -> None:
    """Opens the variant's engine and sends it the trials, then its control sample; what has no room is only a row.

    Where the engine says itself how many tokens it has room for it is opened for the lengths that are within that.
    """
    settings, variant, unfit, journal = part.settings, part.variant, dict(part.fit.unfit), part.journal
    if part.chooser:
        part.chooser.resume(part.own(part.folder.rows()))
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
            drafts = {"speculative_config": settings.spec.arguments(settings.spec.model)} if settings.spec.is_on else {}
            arguments = {**job.serving, **job.arguments, **drafts, **settings.engine.args}
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


def _without_room(part: Part, fitting: list[Trial], error: NoRoomError) -> dict[int, str]:
    """The lengths that an engine has no room for by its own word, with these words; at least the longest of them."""
    read = {trial.length: part.recipe.num_read(trial) for trial in fitting}
    most = min(error.max_length, max(read.values()) - 1)
    why = f"{resume.NO_ROOM_SAID} {error.max_length:,} tokens; {error.words}"
    unfit = {length: why for length, num in read.items() if num > most}
    for length in sorted(unfit):
        part.console.note(f"{part.variant}: {format_length(length)} does not fit: {unfit[length]}")
    return unfit


def _ask(part: Part, session: Session, todo: list[Trial]) -> None:
    """Sends the trials to an open engine; each row is on disk before the next is waited for."""
    settings, variant, num_trials = part.settings, part.variant, len(part.recipe.trials)
    work = _work(settings, part.recipe, part.recipe.trials if part.chooser else todo)
    begun, graded_seconds = time.perf_counter(), 0.0
    counted, tokens = _counted(part), Tokens()
    agenda = _agenda(part, todo)
    if part.chooser:  # nobody knows how many there will be
        num_done = sum(row.variant == variant for row in part.folder.rows())
        progress = part.console.progress(0, num_done, 0, session.reading)
    else:
        progress = part.console.progress(num_trials, num_trials - len(todo), sum(work.values()), session.reading)
    excerpts = Excerpts(part.folder.path, part.recipe.tokenizer.decode) if settings.report.excerpts else None
    try:
        _leave_out(part, agenda, progress, work)
        before = {row.trial: row for row in part.folder.rows() if row.prompt_sha256}
        for answered in trials.answers(session, part.recipe, agenda, before):
            if isinstance(answered, trials.Unread):
                _note_unread(part, answered, progress, work)
                continue
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


def _note_unread(part: Part, found: trials.Unread, progress: Progress, work: dict[int, int]) -> None:
    """The row of a trial whose prompt could not be made."""
    row = trials.unread(part.settings, part.variant, found)
    part.folder.append(row)
    if part.chooser:
        part.chooser.tell(row)
    part.on_row(part.journal.record, part.folder)
    progress.advance(work[row.trial], 0)


def _counted(part: Part) -> Beginnings | None:
    """What counts the tokens that need computing; None where no prefix cache is used, or a trial has two prompts, or
    others are sent beside them."""
    settings, facts = part.settings, part.journal.record.engines[part.variant]
    if part.through or not (settings.engine.prefix_caching and facts.block_size) or settings.reader.may_read_twice:
        return None
    return Beginnings(facts.block_size, 2 * settings.engine.replicas)


def _agenda(part: Part, todo: list[Trial]) -> Agenda:
    """The trials to send, with what earlier commands found out about the memory."""
    one_of = {trial.length: trial for trial in part.recipe.trials}
    own = [row for row in part.own(part.folder.rows()) if row.length in one_of]
    before = Counter(row.length for row in own if row.outcome == Outcome.OUT_OF_MEMORY)
    has_room = [row.length for row in own if row.score is not None]
    sizes = {length: part.recipe.num_read(trial) for length, trial in one_of.items()}
    ordered = grid.side_by_side(todo, part.settings.engine.replicas)
    failed = {row.trial for row in part.own(part.folder.failures())}
    return Agenda(ordered, sizes.__getitem__, before, has_room, part.chooser, _arranged(part), failed)


def _arranged(part: Part) -> Arranged | None:
    """What puts the trials of a repeat into the order in which a small cache loses no beginning; None where that is not
    known or not worth it, as for readers that leave text out: each prompt is made twice for it."""
    counted, settings = _counted(part), part.settings
    room = part.journal.record.engines[part.variant].kv_cache_tokens
    if counted is None or room is None or part.chooser or not settings.reader.reads_all:
        return None

    def arranged(trials: Sequence[Trial]) -> Sequence[Trial]:
        if sum(grid.expected_work(trials, 0, prefix_caching=True, share=settings.ctx.share)) <= room:
            return trials  # the cache holds all of them
        try:
            prompts = [counted.digests(part.recipe.build(trial).prompt.ids) for trial in trials]
        except NiahError:
            return trials  # the one that cannot be made says so in its turn
        return [trials[place] for place in depth_first(prompts)]

    return arranged


def _leave_out(part: Part, agenda: Agenda, progress: Progress, work: dict[int, int]) -> None:
    """Rows for the trials that have no room, as shown by others of their length or shorter ones that were sent."""
    left_out = agenda.without_room()
    for trial in left_out:
        part.folder.append(trials.unfit(part.settings, part.variant, trial, resume.NO_ROOM_SHOWN))
        progress.advance(work[trial.index], 0)
    if left_out:
        lengths = ", ".join(format_length(length) for length in sorted({trial.length for trial in left_out}))
        part.console.note(f"{part.variant}: trials of {lengths} {resume.NO_ROOM_SHOWN} ({len(left_out)})")


def _control(part: Part, session: Session) -> None:
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
    """What an engine is opened for, ``longest`` tokens at most. Raises NiahError for the files of a model that drafts
    as those of the model itself are refused."""
    model = settings.model
    drafter.check_weights(settings.spec, model)
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
        speculation=settings.spec,
        draft_files=drafter.files(settings.spec, model),
    )


def _budgeted(part: Part, session: Session) -> Session:
    """With the variant's budget of thinking, if it has one."""
    settings, recipe = part.settings, part.recipe
    if not settings.model.thinking_budgets:
        return session
    (budget,) = settings.model.thinking_budgets
    return BudgetedSession(
        session, budget, settings.task.answer_tokens, recipe.thinking_end, recipe.tokenizer, recipe.delimiters
    )


def _open(part: Part, job: Job) -> Session:
    """The variant's engine, which is opened again where it ends. Raises EngineStoppedError where it does not start, as
    another variant's may, NoRoomError where it has room for shorter prompts."""

    def opened() -> Session:
        try:
            session = _budgeted(part, part.settings.engine.open(job))
            return part.through(session) if part.through else session
        except NoRoomError:
            raise
        except NiahError as error:
            raise EngineStoppedError(f"{error}; the engine's log is {part.log}") from error

    return RestartedSession(opened, lambda line: part.console.note(f"{part.variant}: {line}"))
