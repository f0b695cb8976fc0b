"""The command: its verb, and what becomes of errors."""

import os
import signal
import sys
import threading
from collections.abc import Sequence

from niah import __version__
from niah.commands import folders, help, run
from niah.errors import NiahError

_VERBS = {
    "run": run.run, "plan": run.plan, "prepare": run.prepare, "build": run.build, "power": run.power,
    "calibrate": run.calibrate, "serve-check": run.serve_check, "report": folders.report, "compare": folders.compare,
    "crosscheck": folders.crosscheck, "rag": folders.rag, "show": folders.show,
}


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 done, 1 refused or trials failed, 2 a regression (compare.fail_on), 130 stopped by Ctrl-C or SIGTERM."""
    arguments = list(arguments)
    if threading.current_thread() is threading.main_thread():  # others cannot set it
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    try:
        if any(word in ("-h", "--help", "help") for word in arguments):
            print(help.text())
            return 0
        if arguments[:1] == ["--version"]:
            print(__version__)
            return 0
        verb = arguments.pop(0) if arguments and arguments[0] in _VERBS else "run"
        return _VERBS[verb](arguments)
    except NiahError as error:
        print(f"niah: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("niah: stopped; finished trials are kept, the same command continues", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
