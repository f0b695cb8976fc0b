"""The command: from its verb's name to the verb's module, and what becomes of errors."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module

from niah import __version__
from niah.commands import help
from niah.errors import NiahError

VERBS = {
    "run": "run",
    "plan": "plan",
    "prepare": "prepare",
    "build": "build",
    "power": "power",
    "calibrate": "calibrate.calibrate",
    "report": "report",
    "compare": "compare.compare",
    "crosscheck": "crosscheck.crosscheck",
    "rag": "rag.rag",
    "serve-check": "serve_check",
    "show": "show",
}
"""Each verb's module in niah/commands/. It is imported when its verb is asked for, and has ``main(words) -> exit code``."""


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 done, 1 refused or trials failed, 2 a regression (compare.fail_on), 130 stopped by Ctrl-C or SIGTERM."""
    words = list(arguments)
    if threading.current_thread() is threading.main_thread():  # others cannot set it
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    try:
        if any(word in ("-h", "--help", "help") for word in words):
            print(help.text())
            return 0
        if words[:1] == ["--version"]:
            print(__version__)
            return 0
        verb = words.pop(0) if words and words[0] in VERBS else "run"
        code: int = import_module(f"niah.commands.{VERBS[verb]}").main(words)
        return code
    except NiahError as error:
        print(f"niah: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("niah: stopped; finished trials are kept, the same command continues", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
