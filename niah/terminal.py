"""Text as a terminal or a picture may show it, whatever it is made of: the one way in which commands say anything."""

import errno
import io
import os
import re
import select
import sys
from contextlib import suppress
from typing import Any, TextIO

from niah import secrets
from niah.errors import NiahError

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but for tab and line feed: an escape begins a command
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn the direction of the text that follows
    "\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"  # other ends of line; what no XML or UTF-8 can hold
    "\U000e0000-\U000e007f]"  # letters that nobody sees
)
_NO_READER = {errno.EPIPE, errno.EIO, errno.EBADF}
"""What a pipe says whose reader has gone, and a terminal that was closed."""


class _Handle(io.FileIO):
    """A file descriptor that a command's words go to. Where nobody reads them any more they are dropped. Where there is
    no room for them the first error is raised, and all later words are dropped: Python's own flush at its end would
    raise it again. ``is_beside``: nothing is raised, and each word is tried.
    """

    def __init__(self, number: int, *, is_beside: bool):
        super().__init__(number, "w", closefd=number > 2)
        self._is_dropped = False
        self._is_beside = is_beside

    def write(self, data: Any) -> int:
        if self._is_dropped:
            return memoryview(data).nbytes
        try:
            while (num := super().write(data)) is None:  # somebody else made it one that does not wait
                if self._is_beside:
                    return memoryview(data).nbytes
                select.select([], [self], [])
            return num
        except OSError as error:
            self._is_dropped = not self._is_beside
            if not self._is_beside and error.errno not in _NO_READER:
                raise
            return memoryview(data).nbytes


def stream(number: int, *, is_beside: bool, encoding: str | None = None) -> TextIO:
    """Text to a file descriptor, each line at once; characters that the encoding lacks as escapes. ``is_beside``: no
    command depends on what is written to it, and writing never fails."""
    buffer = io.BufferedWriter(_Handle(number, is_beside=is_beside))
    return io.TextIOWrapper(buffer, encoding=encoding or "utf-8", errors="backslashreplace", line_buffering=True)


def take_streams() -> None:
    """Makes this process's standard streams such that no command fails, or says a word more, for what listens to it.

    One that is closed is opened to nothing: the next file that is opened would have its number. What is said on stderr
    may be lost, and on stdout where its reader has gone; a full disk behind stdout is an error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free, which is this
    for old in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):
            old.flush()
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = stream(1, is_beside=False, encoding=sys.stdout.encoding if sys.stdout else None)
    sys.stderr = stream(2, is_beside=True, encoding=sys.stderr.encoding if sys.stderr else None)


def visible(text: str) -> str:
    """The text with what would steer a terminal, or be seen by nobody, as an escape: ``\\x1b``. Lines stay lines."""
    return _UNSEEN.sub(_escape, text)


def line(text: str) -> str:
    """The same on one line."""
    return visible(" ".join(text.splitlines()) if "\n" in text or "\r" in text else text)


def say(*lines: str, file: TextIO | None = None) -> None:
    """Prints each, ``visible`` and without secrets, to stdout or to ``file``.

    Raises NiahError where it takes no more.
    """
    for text in lines:
        try:
            print(visible(secrets.masked(text)), file=file or sys.stdout, flush=True)
        except OSError as error:
            raise NiahError(
                f"stdout: cannot be written ({error.strerror}); files that were written stay; free some space, or send "
                "it elsewhere"
            ) from error


def note(text: str) -> None:
    """Prints one line to stderr, beside what a command gives."""
    print(line(secrets.masked(text)), file=sys.stderr, flush=True)


def move(text: str, file: TextIO | None = None) -> bool:
    """Shows a line on stderr (or ``file``) in the place of the one that was shown so before; a line of its own where
    that is no terminal. Returns whether the line is still open: an empty text ends it."""
    to = file or sys.stderr
    shown, is_terminal = line(secrets.masked(text)), to.isatty()
    if is_terminal:
        print(f"\r{shown}\033[K" if text else "", end="" if text else "\n", file=to, flush=True)
    elif text:
        print(shown, file=to, flush=True)
    return is_terminal and bool(text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
