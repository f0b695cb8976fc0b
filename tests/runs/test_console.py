"""Where what is printed goes while an engine is open: to its log, and the run's own words to the terminal."""

import subprocess
import sys

from tests.helpers.command import environment_with

PROGRAM = """
import ctypes, sys
from pathlib import Path
from niah import terminal
from niah.runs.console import Console

terminal.take_streams()
console, held = Console(), sys.stdout
with console.log_to(Path("engine.log")):
    ctypes.CDLL(None).printf(b"from C, ")
    held.write("by a logger of before, ")
    print("by print, ", end="")
    print("on stderr", file=sys.stderr)
    console.say("a word of the run")
print("after it")
"""


def test_what_an_engine_prints_is_in_its_log_and_nowhere_else(tmp_path):
    """Also what has no end of line, and what a library in C holds back."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True,
        env=environment_with(PYTHONUNBUFFERED=""),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a word of the run\nafter it\n", "")
    log = (tmp_path / "engine.log").read_text()
    assert sorted(log.replace("\n", ", ").strip(", ").split(", ")) == [
        "by a logger of before", "by print", "from C", "on stderr"
    ]
