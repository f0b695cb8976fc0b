"""``python -m niah``."""

import os
import sys


def run() -> int:
    """Entry point of the ``niah`` command."""
    try:
        _leave_the_working_folder_out()
        from niah import terminal  # not before: importing it would look into the working folder
        from niah.cli import main

        terminal.take_streams()
        if os.environ.get("HOME") == "":
            del os.environ["HOME"]  # the system knows another one; and ~ would be the root of all folders
        os.environ.pop("MPLBACKEND", None)  # pictures are files here; one that is not known ends the import
        return main(sys.argv[1:])
    except KeyboardInterrupt:  # while that was imported
        return 130


def _leave_the_working_folder_out() -> None:
    """Takes the folder one stands in from where modules are looked for, here and in Python processes started here.

    ``python -m`` puts it first, so that any file of a module's name in it would run: in a run folder from elsewhere,
    say. It stays only where niah itself is found through it alone.
    """
    if sys.flags.safe_path:
        return
    try:
        here = os.getcwd()
    except OSError:  # it was deleted
        here = ""
    elsewhere = [place for place in sys.path if place not in ("", here)]
    if any(os.path.isfile(os.path.join(place, "niah", "__main__.py")) for place in elsewhere):
        if sys.path[:1] in ([""], [here]):
            del sys.path[0]
        os.environ.setdefault("PYTHONSAFEPATH", "1")


if __name__ == "__main__":
    sys.exit(run())
