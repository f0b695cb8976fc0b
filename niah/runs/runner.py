"""The one run: what fits, what is done already, then each variant's part, and what is said at the end."""

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from niah import grid
from niah.config import Run
from niah.engines import processes
from niah.errors import EngineStoppedError, NiahError
from niah.planner import drafter
from niah.planner.fit import Fit
from niah.prompts.recipe import Recipe
from niah.records import Outcome, Row, RunRecord, Trial
from niah.runs import capacity, control, expectation, history, packages, record, resume, store, trials
from niah.runs.agenda import Chooser
from niah.runs.console import Console
from niah.runs.journal import Journal
from niah.runs.measure import OnRow, Part, Through, measure_each
from niah.runs.store import RunFolder
from niah.runs.variants import Variant, variants
from niah.stats import beside, computed_tokens
from niah.units import format_count, format_length

_PROMPTS_OF_A_GROWN_RUN = 4


@dataclass(frozen=True)
class Summary:
    """What a run left: its folder, its record, all its rows and how many of them are new.

    ``asked`` are the rows of what this command asked for, where the folder may hold more. ``passed_over`` are variant
    and trial of those without an answer that the same command does not ask again. ``stopped`` says why an engine was
    given up before all was asked.
    """

    folder: Path
    record: RunRecord
    rows: list[Row]
    asked: list[Row]
    num_new: int
    passed_over: frozenset[tuple[str, int]] = frozenset()
    stopped: str = ""


Choosing = Callable[[str, Sequence[Trial]], Chooser]
"""Makes the chooser of a variant's trials, of those that the run's settings allow."""


def run(
    settings: Run, console: Console, on_row: OnRow = lambda record, folder: None, calibration: Sequence[str] = (),
    choosing: Choosing | None = None, *, waits: bool = False, through: Mapping[str, Through] = MappingProxyType({}),
    keeps_stop: bool = False,
) -> Summary:
    """Runs every trial that has no answer yet, or those that are chosen meanwhile. Finished rows survive whatever ends
    it.

    ``calibration`` is what a constructed model showed of the same engine just before, for the record. ``waits``: the
    folder may be in use by another process of the same sweep, whose trials these join. ``through``: by variant, what
    is put between its engine and the trials. ``keeps_stop``: an engine that was given up is told in the summary, where
    there is an answer to say something of; else, as where there is none, it is EngineStoppedError.
    """
    try:
        fits, recipe = _ready(settings, console)
    except NiahError:  # no server, a machine too small, weights that are gone: what is finished needs none of them
        if done := _finished_before(settings):
            return _all_done(settings, *done, console)
        raise
    _say_before(settings, fits, recipe, console)
    fresh = record.of_run(settings, recipe)
    with RunFolder(Path(settings.outputs) / fresh.name, waits=waits) as folder:
        stored = _stored(settings, recipe, fresh, folder, console)
        if stored:
            resume.check_same_settings(stored, fresh, settings, folder)
        left = _left(settings, fits, recipe, stored, fresh, folder)
        if stored and not left.num_new and not left.due & {*left.todo}:
            return _all_done(left.settings, folder, stored, console)  # it keeps the record of what measured it
        if stored and left.finished:
            resume.check_same_software(stored, fresh, folder)
            if line := resume.note_of_prompts(left.recipe, folder):
                console.note(line)
        own = history.asked(left.settings, is_chosen=choosing is not None)
        grids = [*(history.grids(stored, str(folder.run_path)) if stored else ()), own]
        num_planned = history.num_planned(grids, folder.rows())
        fresh = record.of_all(fresh, left.whole, num_planned, history.names(left.whole, grids))
        if not choosing:  # how many there will be is not known
            fresh = replace(fresh, expected=expectation.expected(left.whole, left.fits))
        journal = Journal(folder, _with(calibration, resume.continued(stored, fresh, left.due) if stored else fresh))
        journal.begin(len(left.finished), own)
        _say_first(left, folder, console, is_chosen=choosing is not None, is_pressed=bool(through))
        stopped = ""
        try:
            _measure(left, folder, journal, console, on_row, choosing, through)
        except EngineStoppedError as error:
            if not keeps_stop or all(row.score is None for row in folder.rows()):
                raise
            stopped = str(error)
        if choosing:
            journal.planned(history.num_planned(grids, folder.rows()))
        summary = _summary(left, folder, journal.record, console, is_chosen=choosing is not None)
        return replace(summary, stopped=stopped)


def _ready(settings: Run, console: Console) -> tuple[dict[str, Fit], Recipe]:
    """What fits, by variant, and the recipe, before text is read. Raises NiahError for a machine or files that cannot
    do it."""
    packages.check(settings)
    asked, fits = variants(settings), capacity.check(settings)
    for variant in asked:
        for length, why in fits[variant.name].unfit.items():
            which = f"{variant.name}: " if len(asked) > 1 else ""
            console.note(f"{which}{format_length(length)} does not fit: {why}")
    recipe = Recipe(settings)
    _check_files(settings, recipe, asked, fits)
    return fits, recipe


def _say_before(settings: Run, fits: Mapping[str, Fit], recipe: Recipe, console: Console) -> None:
    """Notes, licences, what the text is. Raises NiahError for a length whose prompt cannot be built."""
    licences = [f"licence of {settings.model.name}: {notice}" for notice in settings.model.notices]
    for line in (*capacity.notes(settings), *settings.engine.notes(), *licences, *recipe.notes()):
        console.note(line)
    recipe.check(without=set.intersection(*({*fit.unfit} for fit in fits.values())))


@dataclass(frozen=True)
class _Left:
    """What is left of a run: ``todo`` by variant, of ``settings`` as it began; ``whole`` is all that its folder holds.

    ``finished`` are variant and trial of what has its answer, ``passed_over`` of what is not asked again, ``due`` the
    variants whose control sample is not finished.
    """

    settings: Run
    whole: Run
    fits: Mapping[str, Fit]
    recipe: Recipe
    finished: set[tuple[str, int]]
    passed_over: set[tuple[str, int]]
    todo: dict[str, list[Trial]]
    due: set[str]

    @property
    def num_new(self) -> int:
        return sum(map(len, self.todo.values()))

    @property
    def only(self) -> str:
        """The variant of rows that name none."""
        return variants(self.whole)[0].name


def _left(
    settings: Run, fits: Mapping[str, Fit], recipe: Recipe, stored: RunRecord | None, fresh: RunRecord,
    folder: RunFolder,
) -> _Left:
    """Moves the rows that are to be asked again out of the way. Raises NiahError as ``_whole`` does."""
    whole, recipe = _whole(settings, recipe, stored, folder)
    is_continued = stored is not None and not resume.other_software(stored, fresh)
    if stored and is_continued and (begun := resume.as_begun(settings, stored)) != settings:
        settings, fits = begun, capacity.check(begun)
    only = variants(whole)[0].name
    passed_over = set() if settings.retry else resume.passed_over(whole, folder)

    def fits_now(row: Row) -> bool:
        """What had no room may have it by now, or with fewer replicas."""
        if row.outcome != Outcome.DOES_NOT_FIT or not is_continued or not recipe.holds(row):
            return False
        fit = fits.get(row.variant or only)
        return fit is not None and row.length not in fit.unfit

    def is_passed_over(row: Row) -> bool:
        return (row.variant or only, row.trial) in passed_over

    finished = resume.answered(whole, folder.drop_retried(fits_now, is_passed_over), passed_over)
    ordered = grid.in_running_order(recipe.trials, settings.ctx.share)
    failed = resume.failed(whole, folder)
    todo = {
        variant.name: resume.failed_last(
            [trial for trial in ordered if (variant.name, trial.index) not in finished], variant.name, failed
        )
        for variant in variants(settings)
    }
    due = {*stored.control_due} if stored and is_continued else set()
    return _Left(settings, whole, fits, recipe, finished, passed_over, todo, due)


def _say_first(left: _Left, folder: RunFolder, console: Console, *, is_chosen: bool, is_pressed: bool) -> None:
    """How much there is to do, and what the plan chose.

    Of a grid alone it is known how long it takes and what the cache saves: not where prompts are chosen as answers
    come, nor where something between asks them in another order (``is_pressed``).
    """
    num_new, num_asked = left.num_new, len(left.recipe.trials) * len(left.todo)
    to_do = "only the rest of the control sample to run"
    if num_new:
        to_do = f"{num_new:,} of {format_count(num_asked, 'trial')} to run"
    if is_chosen:
        to_do = f"{num_asked - num_new} trials done, the next are chosen as answers come"
    elif not is_pressed:
        to_do += expectation.to_compute(left.settings, left.todo)
    console.note(f"{folder.path}: {to_do}; engine log in engine.log")
    is_grid = not (is_chosen or is_pressed)
    plan = expectation.line(expectation.expected(left.whole, left.fits), has_price=is_grid)
    cache = expectation.cache_line(left.settings, left.fits) if is_grid else ""
    choices = capacity.choice_lines(left.settings, left.fits, has_seconds=is_grid)
    for line in filter(None, (plan, cache, *choices)):
        console.note(line)
    if left.passed_over:
        console.note(f"passed over: {len(left.passed_over)} that {resume.PASSED_OVER}")


def _measure(
    left: _Left, folder: RunFolder, journal: Journal, console: Console, on_row: OnRow, choosing: Choosing | None,
    through: Mapping[str, Through],
) -> None:
    """Every variant with something to do, one after the other."""
    parts = [
        Part(
            variant.of(left.settings), variant.name, left.recipe, left.fits[variant.name], folder,
            left.todo[variant.name], journal, console, on_row,
            choosing(variant.name, left.recipe.trials) if choosing else None, through.get(variant.name),
            is_first=variant.name == left.only,
        )
        for variant in variants(left.settings) if left.todo[variant.name] or variant.name in left.due
    ]
    try:
        with console.log_to(folder.path / "engine.log"), _watched(left.settings, folder.path, console):
            measure_each(parts)
    except BaseException:
        with suppress(NiahError):  # the first error is the one to report
            journal.finish()
        raise
    journal.finish()


def _summary(left: _Left, folder: RunFolder, found: RunRecord, console: Console, *, is_chosen: bool) -> Summary:
    """What there is now; says what the engine made of it."""
    rows = folder.rows()
    ends = (
        *computed_tokens.lines(found.sessions), control.sentence(folder.controls()), trials.cut_in_thinking(rows),
        trials.ungraded(rows), beside.sentence(rows),
    )
    for line in filter(None, ends):
        console.note(line)
    return Summary(
        folder.path, found, rows, _of_asked(left.settings, left.recipe, left.only, rows),
        len(rows) - len(left.finished) if is_chosen else left.num_new,
        frozenset(resume.passed_over(left.whole, folder)),
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
        drafter.check_weights(variant.spec, settings.model)


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
    if found is not None and not folder.rows() and not folder.failures() and not _had_rows(found):
        return None  # it was refused, or stopped, before its first answer: its name binds nothing
    if found is not None and not folder.has_record():
        folder.write_record(found)
    return found


def _had_rows(found: RunRecord) -> bool:
    """Whether a trial was ever answered, as far as run.json tells."""
    return any(one.trials_before or any(one.trials_seconds.values()) for one in found.sessions)


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
    done = f"all {len(own):,} trials were" if len(own) != 1 else "its one trial was"
    console.note(f"{folder.path}: {done} done before; name=... measures them again")
    if line := trials.ungraded(own):
        console.note(line)
    return Summary(folder.path, stored, rows, own, 0, frozenset(resume.passed_over(whole, folder)))
