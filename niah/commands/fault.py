"""What ends a command: an error as one line (with NIAH_DEBUG=1 its traceback before it), or a signal as Ctrl-C."""

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from niah import terminal
from niah.errors import NiahError, lacking, own_line, reason

_PACKAGE = Path(__file__).resolve().parents[1]
_AGAIN_SECONDS = 0.02
_unraisable = sys.unraisablehook


def take_stops() -> None:
    """A scheduler's SIGTERM and the SIGHUP of a closed terminal end a command as Ctrl-C does.

    The first also where it is ignored at the start, as by the first process of a container; the second not: by nohup.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    sys.unraisablehook = _stop_again


def _stop_again(dropped: Any) -> None:
    """A stop that comes while Python calls a destructor, or back from a weak reference (matplotlib has many), is
    dropped there, and the command would go on: it comes again, soon and elsewhere."""
    if dropped.exc_type is not KeyboardInterrupt:
        _unraisable(dropped)
        return
    main = threading.main_thread().ident
    again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, [main, signal.SIGTERM])
    again.daemon = True
    again.start()


def show(error: BaseException) -> None:
    """Prints the error to stderr."""
    if os.environ.get("NIAH_DEBUG", "0") not in ("", "0"):
        terminal.say(*"".join(traceback.format_exception(error)).splitlines(), file=sys.stderr)
    terminal.note(f"niah: {line(error)}")


def line(error: BaseException) -> str:
    """A NiahError's own words; what the machine lacks; of any other exception, which is a bug, its name, its first line
    and its place."""
    if isinstance(error, NiahError):
        return str(error)
    if isinstance(error, OSError) and (wanted := lacking(error)):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}; expected {wanted}; what was written stays; NIAH_DEBUG=1 shows the place"
    if isinstance(error, MemoryError):
        return (
            "this process gets no more memory; expected more (the machine's, the container's, ulimit -v), or shorter "
            "contexts; what was written stays; NIAH_DEBUG=1 shows the place"
        )
    return f"{reason(error)}; a bug at {_place(error)}, not a setting; NIAH_DEBUG=1 shows the traceback"


def _place(error: BaseException) -> str:
    """file:line of the innermost call in a plug-in of the user's, else in niah, else anywhere."""
    if own := own_line(error):
        return own
    calls = traceback.extract_tb(error.__traceback__)
    found = ([call for call in calls if Path(call.filename).is_relative_to(_PACKAGE)] or calls)[-1:]
    return f"{found[0].filename}:{found[0].lineno}" if found else "an unknown place"
