"""A line on stderr that moves while something large is read: how far, and after how long."""

import time

from niah import terminal

_FIRST_SECONDS = 2.0
_TERMINAL_SECONDS, _LOG_SECONDS = 0.5, 15.0


class Progress:
    """Says nothing of what is read within two seconds. ``what`` begins the line."""

    def __init__(self, what: str):
        self._what = what
        self._begun = time.monotonic()
        self._due = self._begun + _FIRST_SECONDS
        self._is_open = False

    def begin(self, text: str) -> None:
        """Says at once what will take long, without a step to tell of."""
        self._due = 0.0
        self.step(text)

    def step(self, text: str) -> None:
        """How far it is by now."""
        now = time.monotonic()
        if now < self._due:
            return
        self._is_open = terminal.move(f"{self._what}: {text}, {now - self._begun:.0f} s")
        self._due = now + (_TERMINAL_SECONDS if self._is_open else _LOG_SECONDS)

    def close(self) -> None:
        """The line is done with: what is said next stands on one of its own."""
        if self._is_open:
            terminal.move("")
        self._is_open = False
