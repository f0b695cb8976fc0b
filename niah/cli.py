"""The command: from its verb's name to the verb's module, and what becomes of errors."""

import os
import threading
from collections.abc import Sequence
from importlib import import_module

from niah import __version__, choices, terminal
from niah.commands import fault, help, meant
from niah.errors import NiahError
from niah.terminal import say

VERBS = {
    "run": "run",
    "plan": "plan",
    "prepare": "prepare",
    "build": "build",
    "power": "power",
    "frontier": "frontier.frontier",
    "decide": "decide.decide",
    "edges": "edges.edges",
    "pressure": "pressure.pressure",
    "calibrate": "calibrate.calibrate",
    "report": "report",
    "rescore": "rescore",
    "compare": "compare.compare",
    "gate": "gate.gate",
    "crosscheck": "crosscheck.crosscheck",
    "shrink": "shrink.shrink",
    "rag": "rag.rag",
    "questions": "questions.questions",
    "ruler": "ruler.ruler",
    "serve-check": "serve_check",
    "export": "export.export",
    "track": "track.track",
    "show": "show",
    "list": "list",
    "rm": "rm",
    "choices": "catalog",
    "completion": "completion",
}
"""Each verb's module in niah/commands/: imported when its verb is asked for, it has ``main(words) -> exit code``."""


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns its exit code.

    0: done. 1: refused, or a check that found a fault. 2: a regression (compare.fail_on), a pattern (edges,
    pressure), or questions to mend. 3 and 4: gate's NO-GO and INCONCLUSIVE. 5: trials without an answer
    (errors.UnansweredError). 130: stopped by Ctrl-C, SIGTERM or SIGHUP.
    """
    if threading.current_thread() is threading.main_thread():  # others cannot set it
        fault.take_stops()
    try:
        _check_text(arguments)
        words = _without_own_folder(arguments)
        if words[:1] in (["--version"], ["version"]):
            say(__version__)
            return 0
        words = meant.verb(words, VERBS)
        if (topic := _helped(words)) is not None:
            say(help.of(topic) if topic else help.text())
            return 0
        verb = words.pop(0) if words and words[0] in VERBS else "run"
        if verb == "run":
            meant.check(words, VERBS)
        code: int = import_module(f"niah.commands.{VERBS[verb]}").main(words)
        return code
    except KeyboardInterrupt:
        terminal.note("niah: stopped; finished trials are kept, the same command continues")
        return 130
    except Exception as error:  # a bug too is one line, that of a plug-in of the user's above all
        fault.show(error)
        return error.exit_code if isinstance(error, NiahError) else 1


def _helped(words: Sequence[str]) -> str | None:
    """The verb, group or choice that help is asked about, empty for all; None where no help is asked for."""
    if words[:1] == ["help"]:
        topics = meant.verb(words[1:2], VERBS)
        return topics[-1] if topics else ""
    if any(word in ("-h", "--help") for word in words) or words[1:] == ["help"]:
        return words[0] if words[0] in VERBS else ""
    return None


def _without_own_folder(arguments: Sequence[str]) -> list[str]:
    """The words without --config-dir FOLDER, which is taken into use: every verb finds the user's own choices there."""
    words, folder = [], None
    rest = iter(arguments)
    for word in rest:
        name, separator, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            folder = value if separator else next(rest, None)
            if not folder:
                raise NiahError("--config-dir: which folder? expected one with files such as task/mine.yaml")
        else:
            words.append(word)
    choices.use(folder)
    return words


def _check_text(words: Sequence[str]) -> None:
    """Raises NiahError for a word that is no text: neither run.json nor a tokenizer could take it."""
    for word in words:
        if not word.isascii() and any("\udc80" <= one <= "\udcff" for one in word):
            shown = os.fsencode(word).decode(errors="backslashreplace")
            raise NiahError(
                f"{shown}: holds bytes that are no text; expected UTF-8; rename what it names, or set PYTHONUTF8=1 "
                "where the words are UTF-8 and the locale is another"
            )
