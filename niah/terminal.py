"""Text as a terminal or a picture may show it, whatever it is made of: the one way in which commands say anything."""

import re
import sys
from typing import TextIO

from niah import secrets

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but for tab and line feed: an escape begins a command
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn the direction of the text that follows
    "\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"  # other ends of line; what no XML or UTF-8 can hold
    "\U000e0000-\U000e007f]"  # letters that nobody sees
)


def visible(text: str) -> str:
    """The text with what would steer a terminal, or be seen by nobody, as an escape: ``\\x1b``. Lines stay lines."""
    return _UNSEEN.sub(_escape, text)


def line(text: str) -> str:
    """The same on one line."""
    return visible(" ".join(text.splitlines()) if "\n" in text or "\r" in text else text)


def say(*lines: str, file: TextIO | None = None) -> None:
    """Prints each, ``visible`` and without secrets, to stdout or to ``file``."""
    for text in lines:
        print(visible(secrets.masked(text)), file=file or sys.stdout, flush=True)


def note(text: str) -> None:
    """Prints one line to stderr, beside what a command gives."""
    print(line(secrets.masked(text)), file=sys.stderr, flush=True)


def move(text: str) -> bool:
    """Shows a line on stderr in the place of the one that was shown so before; a line of its own where that is no
    terminal. Returns whether the line is still open: an empty text ends it."""
    shown, is_terminal = line(secrets.masked(text)), sys.stderr.isatty()
    if is_terminal:
        print(f"\r{shown}\033[K" if text else "", end="" if text else "\n", file=sys.stderr, flush=True)
    elif text:
        print(shown, file=sys.stderr, flush=True)
    return is_terminal and bool(text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
