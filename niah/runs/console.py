"""What a person sees while a run goes on; everything else a process prints goes to a log file."""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

from tqdm import tqdm

from niah import disk, secrets, terminal
from niah.errors import NiahError

_MAX_LOG = 2**28
"""Bytes of a log that is looked through for secrets."""
_FIRST_SIGN, _TERMINAL_SIGN, _LOG_SIGN = 10.0, 1.0, 60.0
"""Seconds of silence after which a log is told that something goes on, and between signs on a terminal and in a log."""


Reading = Callable[[], tuple[int, int] | None]
"""Tokens that an engine has read of the prompts under way, and how many there are; None where it does not tell."""


class Console:
    """The terminal as it was at the start, also while ``log_to`` sends stdout and stderr elsewhere."""

    def __init__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.out = terminal.stream(os.dup(1), is_beside=False, encoding=sys.stdout.encoding)
        self.err = terminal.stream(os.dup(2), is_beside=True, encoding=sys.stderr.encoding)

    def say(self, text: str) -> None:
        terminal.say(text, file=self.out)

    def note(self, text: str) -> None:
        """A line about the run's progress, apart from its results."""
        tqdm.write(terminal.line(secrets.masked(text)), file=self.err)  # on a line of its own, whatever bar is there
        self.err.flush()

    @contextmanager
    def log_to(self, path: Path) -> Iterator[None]:
        """Sends file descriptors 1 and 2, those of child processes too, to the end of ``path``."""
        sys.stdout.flush()
        sys.stderr.flush()
        _flush_c()
        try:
            log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise NiahError(f"{path}: cannot be written ({error.strerror}); set outputs=...") from error
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        quiet = terminal.stream(1, is_beside=True)  # the log's disk may be full; rows are written elsewhere and checked
        try:
            with redirect_stdout(quiet):
                yield
        finally:
            for stream in (quiet, sys.stdout, sys.stderr):  # what an engine left without an end of line
                with suppress(OSError):
                    stream.flush()
            _flush_c()
            os.dup2(self.out.fileno(), 1)
            os.dup2(self.err.fileno(), 2)
            for file in (path, *path.parent.glob(f"{path.stem}.*{path.suffix}")):  # replicas have logs of their own
                _clean(file)

    def progress(
        self, num_trials: int, num_done: int, total_work: int, reading: Reading = lambda: None
    ) -> "Progress":
        return Progress(self, num_trials, num_done, total_work, reading)

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """Says how long ``what`` takes while it does: on a line that moves, in a log a line now and then."""
        is_terminal, begun = self.err.isatty(), time.monotonic()

        def sign() -> None:
            terminal.move(f"{what}: {time.monotonic() - begun:.0f} s", self.err)

        with _Ticker(sign, _TERMINAL_SIGN if is_terminal else _FIRST_SIGN, is_terminal=is_terminal):
            yield
        if is_terminal and time.monotonic() - begun > _TERMINAL_SIGN:
            terminal.move("", self.err)


_SIGNING = threading.Lock()
"""Held while a sign is given, and while this process is forked: a child must not begin with a lock of tqdm's taken."""
os.register_at_fork(before=_SIGNING.acquire, after_in_parent=_SIGNING.release, after_in_child=_SIGNING.release)


class _Ticker:
    """Calls ``sign`` from a thread of its own, after ``first`` seconds and then now and then, until it is left."""

    def __init__(self, sign: Callable[[], None], first: float, *, is_terminal: bool):
        self._sign, self._first = sign, first
        self._pause = _TERMINAL_SIGN if is_terminal else _LOG_SIGN
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="niah-signs", daemon=True)

    def __enter__(self) -> "_Ticker":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _tick(self) -> None:
        pause = self._first
        while not self._over.wait(pause):
            with _SIGNING, suppress(OSError, ValueError):  # a terminal that is gone ends no run
                self._sign()
            pause = self._pause


def _flush_c() -> None:
    """Writes what libraries in C have printed and still hold: where stdout is no terminal they hold all of it, and it
    would go to wherever file descriptor 1 leads when the process ends."""
    ctypes.CDLL(None).fflush(None)


def _clean(log: Path) -> None:
    """Takes secrets out of a log that an engine wrote by itself."""
    with suppress(OSError):
        if not 0 < log.stat().st_size <= _MAX_LOG:
            return
        text = log.read_text(encoding="utf-8", errors="surrogateescape")
        if (safe := secrets.masked(text)) != text:
            disk.replace(log, safe.encode("utf-8", errors="surrogateescape"))


class Progress:
    """Share of trials done, tokens computed per second, time left.

    Time left follows ``work`` (tokens to compute), since trials differ a thousandfold in cost. ``num_trials`` and
    ``total_work`` are 0 where nobody knows how many there will be. ``reading`` is ``Session.reading``.
    """

    def __init__(self, console: Console, num_trials: int, num_done: int, total_work: int, reading: Reading):
        self._err, self._reading = console.err, reading
        self._num_trials = num_trials
        self._num_done = num_done
        self._tokens = 0
        self._rate = ""
        self._last = time.monotonic()
        self._bar = tqdm(
            desc=self._description(),
            total=total_work or None,
            file=console.err,
            bar_format="{desc} |{bar}| {elapsed} gone, {remaining} left{postfix}" if total_work else
            "{desc}, {elapsed} gone{postfix}",
            mininterval=0.1 if console.err.isatty() else 15,
            miniters=1,
            ncols=None if console.err.isatty() else 100,
            leave=True,
        )
        is_terminal = console.err.isatty()
        self._ticker = _Ticker(self._wait, _TERMINAL_SIGN if is_terminal else _LOG_SIGN, is_terminal=is_terminal)
        self._ticker.__enter__()

    def advance(self, work: int, computed_tokens: int) -> None:
        self._last = time.monotonic()
        self._num_done += 1
        self._tokens += computed_tokens
        self._describe()
        self._bar.update(work)

    def close(self) -> None:
        self._ticker.__exit__()
        self._bar.close()
        self._err.flush()

    def _description(self) -> str:
        if not self._num_trials:
            return f"{self._num_done} trials"
        return f"{self._num_done}/{self._num_trials} trials {self._num_done / max(1, self._num_trials):4.0%}"

    def _describe(self) -> None:
        self._bar.set_description_str(self._description(), refresh=False)
        elapsed = self._bar.format_dict["elapsed"]
        if elapsed and self._tokens:
            self._rate = f"{self._tokens / elapsed:,.0f} tokens/s"
            self._bar.set_postfix_str(self._rate, refresh=False)

    def _wait(self) -> None:
        """A sign of life while one prompt takes long."""
        seconds = time.monotonic() - self._last
        if seconds >= _FIRST_SIGN:
            read = None
            with suppress(Exception):  # an engine that ends just now: what waits for it says so
                read = self._reading()
            tokens = f" ({read[0]:,} of {read[1]:,} tokens)" if read else ""
            parts = [*([self._rate] if self._rate else []), f"this prompt since {seconds:.0f} s{tokens}"]
            self._bar.set_postfix_str(", ".join(parts), refresh=False)
        self._bar.refresh()
