"""Trackers beside a run that goes on: each is told in a thread of its own, so that no trial waits for one and none that
fails stops or changes a run."""

import io
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TypeVar

from niah.commands.track import content
from niah.commands.track.tracker import Tracker
from niah.errors import NiahError, reason
from niah.records import RunRecord
from niah.runs.store import RunFolder

EVERY_SECONDS = 2.0
LAST_SECONDS = 60.0
"""How long the end of a run waits for what is still to be sent; that of a stopped one a sixth of it."""
_MOST_WAITING = 1000
"""Jobs that may wait for a tracker; progress beyond them is left out."""

Note = Callable[[str], None]
Job = Callable[[Tracker], None]
Made = TypeVar("Made")


class Following:
    """Tells the trackers of a run: ``row`` after each row, then ``finish`` or ``stop``. Without trackers it does
    nothing. ``has_failed`` once one of them has."""

    def __init__(self, trackers: Sequence[Tracker], note: Note, every_seconds: float = EVERY_SECONDS):
        self._trackers, self._note, self._every = trackers, note, every_seconds
        self._workers: list[_Worker] = []
        self._folder: RunFolder | None = None
        self._begun = self._last = 0.0
        self._num_before = 0
        self.has_failed = False

    def row(self, record: RunRecord, folder: RunFolder) -> None:
        """A row was written."""
        if not self._trackers:
            return
        if self._folder is None:
            self._folder, self._begun, self._num_before = folder, time.monotonic(), len(folder.rows()) - 1
            self._begin(folder.path, record)
        if time.monotonic() - self._last >= self._every:
            self._progress()

    def finish(self, folder: Path) -> None:
        """The run is done: its results, from the files of its folder."""
        if not self._trackers:
            return
        with redirect_stdout(io.StringIO()):  # some print what they do
            if self._folder is not None:
                self._progress()
            else:  # no new row: what is there is told
                self._begin(folder, RunFolder(folder).record() or RunRecord())
            results = self._made(lambda: content.results(folder))
            if results is not None:
                self._tell(lambda tracker: tracker.results(results))
            self._end(is_done=True, seconds=LAST_SECONDS)

    def stop(self) -> None:
        """The run was stopped: the rows that are there."""
        if self._folder is not None:
            with redirect_stdout(io.StringIO()):
                self._progress()
                self._end(is_done=False, seconds=LAST_SECONDS / 6)

    def _begin(self, folder: Path, record: RunRecord) -> None:
        told = self._made(lambda: content.told(folder, record))
        if told is None:
            return
        self._workers = [_Worker(tracker, self._failed) for tracker in self._trackers]
        self._tell(lambda tracker: self._note(f"track: {tracker.module}: {tracker.begin(told)}"))

    def _progress(self) -> None:
        self._last = time.monotonic()
        if (numbers := self._made(self._numbers)) is not None:
            self._tell(lambda tracker: tracker.progress(int(numbers["trials"]), numbers), is_progress=True)

    def _numbers(self) -> dict[str, float]:
        assert self._folder is not None
        rows = self._folder.rows()
        computed = sum(row.num_prompt_tokens - (row.num_cached_tokens or 0) for row in rows[self._num_before :])
        seconds = time.monotonic() - self._begun
        return {**content.progress(rows), **({"tokens_per_second": computed / seconds} if seconds else {})}

    def _made(self, make: Callable[[], Made]) -> Made | None:
        """What trackers are told; None where it cannot be made, which is no reason to stop a run."""
        try:
            return make()
        except Exception as error:
            self._failed("", error)
            return None

    def _failed(self, name: str, error: BaseException) -> None:
        self.has_failed = True
        why = str(error) if isinstance(error, NiahError) else reason(error)
        self._note(f"track: {f'{name}: ' if name else ''}{why}; the run does without")

    def _tell(self, job: Job, *, is_progress: bool = False) -> None:
        for worker in self._workers:
            worker.tell(job, is_progress=is_progress)

    def _end(self, *, is_done: bool, seconds: float) -> None:
        self._tell(lambda tracker: tracker.end(is_done=is_done))
        until = time.monotonic() + seconds
        for worker in self._workers:
            worker.finish(max(0.0, until - time.monotonic()))
        self._workers = []


class _Worker:
    """A tracker's thread. What it raises is told once, and it is told nothing more."""

    def __init__(self, tracker: Tracker, failed: Callable[[str, BaseException], None]):
        self._tracker, self._failed = tracker, failed
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name=f"niah-track-{tracker.module}", daemon=True)
        self._thread.start()

    def tell(self, job: Job, *, is_progress: bool = False) -> None:
        if not (is_progress and self._jobs.qsize() >= _MOST_WAITING):
            self._jobs.put(job)

    def finish(self, seconds: float) -> None:
        """Waits so long for what is still to be told."""
        self._jobs.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._failed(self._tracker.module, NiahError(f"not all was sent within {seconds:.0f} s"))

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job(self._tracker)
        except BaseException as error:  # SystemExit too: some libraries end a process for their own troubles
            self._failed(self._tracker.module, error)
