"""An error is one line; NIAH_DEBUG=1 shows where it came from."""

import errno
import re
import subprocess
import sys

import pytest

from niah.commands import fault
from tests.helpers import own
from tests.helpers.command import environment_with, is_one_line


@pytest.fixture
def words(tmp_path) -> tuple[str, ...]:
    own.write(tmp_path / "own")
    return (*own.WORDS, "ctx=tiny", "engine.is_broken=true")


def line_of(tmp_path, text: str) -> int:
    lines = (tmp_path / "own/mine.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def last_line(done: subprocess.CompletedProcess) -> str:
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_a_plug_ins_bug_is_one_line_with_its_place(niah, tmp_path, words):
    done = niah(*words)
    place = f"{tmp_path}/own/mine.py:{line_of(tmp_path, 'raise LookupError')}"
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Error executing job" not in done.stderr
    expected = f"niah: LookupError: no echo here; a bug at {place}, not a setting; NIAH_DEBUG=1 shows the traceback"
    assert last_line(done) == expected


def test_it_has_its_traceback_with_niah_debug(niah, words):
    done = niah(*words, NIAH_DEBUG="1")
    assert done.returncode == 1 and "Traceback (most recent call last)" in done.stderr
    assert 'raise LookupError("no echo here")' in done.stderr and last_line(done).startswith("niah: LookupError: ")


@pytest.mark.slow
def test_in_a_launchers_process_too(niah, tmp_path, words):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = ("-m", *words, "task.num_words=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    place = f"{tmp_path}/own/mine.py:{line_of(tmp_path, 'raise LookupError')}"
    done = niah(*sweep)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"niah: LookupError: no echo here; a bug at {place}" in done.stderr
    assert 'raise LookupError("no echo here")' in niah(*sweep, NIAH_DEBUG="1").stderr


@pytest.mark.slow
def test_a_refusal_has_a_traceback_only_when_asked_for(niah):
    assert is_one_line(niah("power", "seed=-1")) and is_one_line(niah("power", "seed=-1", NIAH_DEBUG="0"))
    done = niah("power", "seed=-1", NIAH_DEBUG="1")
    assert done.returncode == 1 and "Traceback" in done.stderr and last_line(done).startswith("niah: seed: got -1")


def test_a_module_that_python_cannot_read(niah, tmp_path, words):
    (tmp_path / "own/mine.py").write_text("def broken(:\n")
    done = niah(*words)
    assert done.returncode == 1 and is_one_line(done) and "mine.py, line 1" in done.stderr
    assert "SyntaxError" in niah(*words, NIAH_DEBUG="1").stderr


def test_an_error_without_words_or_place_is_a_line():
    assert fault.line(ValueError()).startswith("ValueError: ; a bug at an unknown place, not a setting; NIAH_DEBUG=1")
    assert "\n" not in fault.line(ValueError("\n one\ntwo\n"))


DESTRUCTOR = """
import os, signal, sys, time
from niah.commands import fault

class Slow:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            time.sleep(0.001)  # the stop is raised in here, where Python drops it

fault.take_stops()
try:
    Slow()
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_a_stop_that_python_drops_comes_again():
    done = subprocess.run(
        [sys.executable, "-c", DESTRUCTOR], capture_output=True, text=True, timeout=50, env=environment_with()
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_what_the_machine_lacks_is_no_bug():
    full = fault.line(OSError(errno.ENOSPC, "No space left on device", "/d/x"))
    assert full.startswith("/d/x: No space left on device; expected a writable place with free space; what was written")
    assert "(ulimit -n)" in fault.line(OSError(errno.EMFILE, "Too many open files"))
    assert "a bug at" in fault.line(OSError(errno.EINVAL, "Invalid argument"))
    assert fault.line(MemoryError()).startswith("this process gets no more memory; expected more (the machine's")


def test_a_folder_that_was_deleted_is_one_line(tmp_path):
    """The command's own, which a shell may still stand in."""
    (tmp_path / "gone").mkdir()
    line = f"cd gone && rmdir ../gone && {sys.executable} -m niah engine=fake"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, env=environment_with())
    assert done.returncode == 1 and last_line(done).startswith("niah: the folder this command was given in is gone")


@pytest.mark.parametrize("value", ["", "x", "nan", "1e308", "-1", "9" * 400])
def test_a_start_that_is_none_is_now(niah, value):
    done = niah("engine=fake", "haystack=noise", "ctx.lengths=[512]", "report.formats=[]", NIAH_STARTED=value)
    assert done.returncode == 0 and re.search(r"in \d{1,3} s, engine start included", done.stdout), done.stderr
