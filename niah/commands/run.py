"""The verb ``run``: measures every trial, then draws the heatmap."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from niah import config as configuration
from niah import terminal
from niah.commands import budget, caller, fault, hydra
from niah.commands.calibrate import verify
from niah.commands.track import trackers
from niah.commands.words import RULER_QUICK, own_words, restart_with_environment
from niah.config import Run
from niah.errors import NiahError, UnansweredError
from niah.records import RETRIED, Outcome, RunRecord, Trial
from niah.runs import resume, runner
from niah.runs.console import Console
from niah.runs.repeats import WholeRepeats, check_reader, with_repeats
from niah.runs.store import RunFolder
from niah.runs.variants import variants
from niah.units import format_count, format_seconds

_LIVE_SECONDS = 60
_MOST_REPEATS = 100
"""What a budget may be spent on where ``ctx.repeats`` does not say."""


def main(words: list[str]) -> int:
    """Exit code of ``run WORDS``, also without the verb. Raises UnansweredError where a trial has no answer."""
    restart_with_environment(words)
    caller.end_with()
    own, words = own_words({"budget": "", "track": ""}, words)
    trackers.named(own["track"], "track")  # what is missing is told before anything starts
    if RULER_QUICK in words:
        from niah.commands.ruler.quick import expanded  # scipy: seconds that others need not wait

        words, first = expanded(words)
        terminal.say(*first)
    # later configs of a sweep start when they start, and those of a launcher in processes of their own
    own_process, starts = os.getpid(), [_started()]

    def measure(config: Any) -> int:
        is_launched = os.getpid() != own_process
        started = starts.pop() if starts and not is_launched else time.monotonic()
        return _measure(config, started, own["budget"], own["track"], is_launched=is_launched)

    return hydra.run(hydra.adapted(words), measure)


def _started() -> float:
    """When this command began, before vLLM's restart where there was one: the clock is the machine's, and no one sets
    it back."""
    now = time.monotonic()
    with suppress(ValueError):
        before = float(os.environ.pop("NIAH_STARTED", ""))
        return before if 0 <= before <= now else now
    return now


def _measure(config: Any, started: float, wanted: str, tracked: str, *, is_launched: bool) -> int:
    """``wanted`` is the budget and ``tracked`` the trackers, empty for none; ``is_launched``: by a launcher, in a
    process of its own, beside others of the sweep."""
    fault.take_stops()  # in a launcher's process too
    settings = configuration.build(config)
    spending = _Spending(settings, wanted) if wanted else None
    settings = spending.settings if spending else settings
    console = Console()
    calibration = verify.verify(settings, console) if settings.calibrate else []
    for line in calibration:
        console.say(line)
    live, following = _Live(settings), None
    if tracked:
        from niah.commands.track.following import Following  # scipy: as below

        following = Following(trackers.named(tracked, "track"), console.note)

    def told(record: RunRecord, folder: RunFolder) -> None:
        live.row(record, folder)
        if following:
            following.row(record, folder)

    try:
        choosing = spending.choosing if spending else None
        summary = runner.run(settings, console, told, calibration, choosing, waits=is_launched)
        caller.tell(summary.folder)
    except BaseException:
        live.write()
        if following:
            following.stop()
        raise
    from niah.commands import page, report  # matplotlib and scipy: seconds that whoever is refused above need not wait
    from niah.report import labels
    from niah.report.accuracy import accuracy_by_length
    from niah.report.page.document import PAGE

    for line in labels.made_up_lines([("", summary.record.engine_name)]):
        console.say(line)
    console.say(accuracy_by_length(summary.record, summary.asked, settings.report.threshold))
    if len(summary.asked) < len(summary.rows):
        asked = format_count(len(summary.asked), "trial")
        console.say(f"table: the {asked} asked for; figures and page: all {len(summary.rows)} here")
    if summary.num_new or not page.is_current(summary.folder, settings.report):
        shown = page.shown_of(str(summary.folder), "", summary.record, summary.rows)
        lines = report.draw([one.panel for one in shown], summary.folder, settings.report)
        for line in [*lines, *page.write_page(shown, summary.folder, settings.report)]:
            console.say(line)
    else:
        console.say(f"figures and page: as they were, {summary.folder / PAGE}")
    if following:
        following.finish(summary.folder)
    if spending:
        console.say(spending.line())
    failed = [row for row in summary.asked if row.outcome in RETRIED]
    took = format_seconds(time.monotonic() - started)
    console.say(f"{format_count(summary.num_new, 'trial')} in {took}, engine start included")
    if summary.asked and all(row.outcome == Outcome.DOES_NOT_FIT for row in summary.asked):
        raise NiahError(f"{summary.folder}: no length of this run fits; {summary.asked[0].error}")
    if failed:
        num_passed_over = sum((row.variant, row.trial) in summary.passed_over for row in failed)
        again = "the same command tries them again"
        if num_passed_over:
            again += f", but for {num_passed_over} that {resume.PASSED_OVER}"
        raise UnansweredError(
            f"{summary.folder}: {len(failed)} of {len(summary.asked)} trials ended without an answer "
            f"(trial {failed[0].trial}: {failed[0].error}); {again}"
        )
    return 0


class _Spending:
    """``budget=``: as many repeats as that allows, up to ``ctx.repeats`` where that is more than one."""

    def __init__(self, settings: Run, text: str):
        self._text, self._budget = text, budget.parse(text, settings.hardware, "budget")
        most = settings.ctx.repeats if settings.ctx.repeats > 1 else _MOST_REPEATS
        check_reader(settings)
        self.settings = with_repeats(settings, most)
        self._num_variants = len(variants(settings))
        self._chosen: list[WholeRepeats] = []

    def choosing(self, variant: str, trials: Sequence[Trial]) -> WholeRepeats:
        """The chooser of a variant, the first of which has its part of the budget."""
        first = self._chosen[0] if self._chosen else None
        made = WholeRepeats(trials, self.settings.ctx.share, self._budget, 1 / self._num_variants, first)
        self._chosen.append(made)
        return made

    def line(self) -> str:
        """What the budget was enough for."""
        num = len(self._chosen[0].asked) if self._chosen else 0
        line = f"budget={self._text}: {num} repeat{'s' if num != 1 else ''}, {self._budget.share():.0%} of it spent"
        if num == 1 and self._budget.share() > 1:
            line += "; one repeat takes more: fewer ctx.depths or ctx.lengths, or ctx.share=depths"
        return line


class _Live:
    """The page of a run that goes on: written every minute where ``report.live`` asks for it, and where the run is
    stopped. What keeps it from being written never ends the run."""

    def __init__(self, settings: Run, every_seconds: float = _LIVE_SECONDS):
        self._settings, self._every, self._last = settings.report, every_seconds, time.monotonic()
        self._seen: tuple[RunRecord, RunFolder] | None = None

    def row(self, record: RunRecord, folder: RunFolder) -> None:
        """A row was written."""
        self._seen = record, folder
        if self._settings.live and time.monotonic() - self._last >= self._every:
            self.write()
            self._last = time.monotonic()

    def write(self) -> None:
        """The page of the rows that are there; nothing where this command wrote none."""
        if self._seen is None:
            return
        from niah.commands import page

        record, folder = self._seen
        try:
            record = folder.record() or record  # with what the session took, where it is over
            page.write_page(page.shown_of(str(folder.path), "", record, folder.rows()), folder.path, self._settings)
        except Exception as error:  # a bug in it too: rows are what counts, and what stopped the run is to be told
            terminal.note(f"niah: {self._seen[1].path}: no page: {fault.line(error)}")
