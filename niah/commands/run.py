"""The verb ``run``: measures every trial, then draws the heatmap."""

import os
import time
from contextlib import suppress
from typing import Any

from niah import config as configuration
from niah.commands import fault, hydra
from niah.commands.calibrate import verify
from niah.commands.words import restart_with_environment
from niah.errors import NiahError
from niah.records import RETRIED, Outcome
from niah.runs import resume, runner
from niah.runs.console import Console
from niah.units import format_seconds


def main(words: list[str]) -> int:
    """Exit code of ``run WORDS``, also without the verb. Raises NiahError where a trial ended without an answer."""
    restart_with_environment(words)
    # later configs of a sweep start when they start, and those of a launcher in processes of their own
    own_process, starts = os.getpid(), [_started()]
    return hydra.run(
        hydra.adapted(words),
        lambda config: _measure(config, starts.pop() if starts and os.getpid() == own_process else time.monotonic()),
    )


def _started() -> float:
    """When this command began, before vLLM's restart where there was one: the clock is the machine's, and no one sets
    it back."""
    now = time.monotonic()
    with suppress(ValueError):
        before = float(os.environ.pop("NIAH_STARTED", ""))
        return before if 0 <= before <= now else now
    return now


def _measure(config: Any, started: float) -> int:
    fault.take_stops()  # in a launcher's process too
    settings = configuration.build(config)
    console = Console()
    if settings.calibrate:
        for line in verify.verify(settings, console):
            console.say(line)
    summary = runner.run(settings, console)
    from niah.commands.report import draw  # matplotlib and scipy: seconds that whoever is refused above need not wait
    from niah.report.accuracy import accuracy_by_length

    console.say(accuracy_by_length(summary.record, summary.rows, settings.report.threshold))
    for line in draw([("", summary.record, summary.rows)], summary.folder, settings.report):
        console.say(line)
    failed = [row for row in summary.rows if row.outcome in RETRIED]
    console.say(f"{summary.num_new} trials in {format_seconds(time.monotonic() - started)}, engine start included")
    if summary.rows and all(row.outcome == Outcome.DOES_NOT_FIT for row in summary.rows):
        raise NiahError(f"{summary.folder}: no length of this run fits; {summary.rows[0].error}")
    if failed:
        num_passed_over = sum((row.variant, row.trial) in summary.passed_over for row in failed)
        again = "the same command tries them again"
        if num_passed_over:
            again += f", but for {num_passed_over} that {resume.PASSED_OVER}"
        raise NiahError(
            f"{summary.folder}: {len(failed)} of {len(summary.rows)} trials ended without an answer "
            f"(trial {failed[0].trial}: {failed[0].error}); {again}"
        )
    return 0
