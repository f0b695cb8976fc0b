"""A line on stderr that moves while something large is read: how far, and after how long."""

import sys
import time

_FIRST_SECONDS = 2.0
_TERMINAL_SECONDS, _LOG_SECONDS = 0.5, 15.0


class Progress:
    """Says nothing of what is read within two seconds. ``what`` begins the line."""

    def __init__(self, what: str):
        self._what = what
        self._begun = time.monotonic()
        self._due = self._begun + _FIRST_SECONDS
        self._is_open = False

    def step(self, text: str) -> None:
        """How far it is by now."""
        now = time.monotonic()
        if now < self._due:
            return
        is_terminal = sys.stderr.isatty()
        self._due = now + (_TERMINAL_SECONDS if is_terminal else _LOG_SECONDS)
        line = f"{self._what}: {text}, {now - self._begun:.0f} s"
        print(f"\r{line}\033[K" if is_terminal else line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)
        self._is_open = is_terminal

    def close(self) -> None:
        """The line is done with: what is said next stands on one of its own."""
        if self._is_open:
            print(file=sys.stderr, flush=True)
        self._is_open = False
