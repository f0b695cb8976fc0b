"""What a Python program that started this command (``niah.run``) asks of it: the run's folder, and to end with it."""

import os
import signal
import threading
import time
from pathlib import Path

CALLER = "NIAH_CALLER"
"""The environment variable that names it: its process id and a file for folders, as 4711:/tmp/folders."""
_EVERY_SECONDS = 0.5


def tell(folder: Path) -> None:
    """Adds the folder to the caller's file, one a line; nothing where nobody asks."""
    if file := _asked()[1]:
        with open(file, "a", encoding="utf-8") as content:
            content.write(f"{folder.absolute()}\n")


def end_with() -> None:
    """Stops this command, as Ctrl-C does, once the caller is gone: a notebook's kernel that is started anew, say."""
    if pid := _asked()[0]:
        threading.Thread(target=_watch, args=(pid,), name="niah-caller", daemon=True).start()


def _watch(pid: int) -> None:
    while os.getppid() == pid:
        time.sleep(_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _asked() -> tuple[int, str]:
    pid, _, file = os.environ.get(CALLER, "").partition(":")
    return int(pid or 0), file
