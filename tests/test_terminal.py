"""What becomes of a command whose words reach nobody: streams that are closed, full, unread or of few characters."""

import errno
import os
import subprocess
import sys

import pytest

from niah import terminal
from niah.errors import NiahError
from tests.helpers.command import environment_with

VERSION = f"{sys.executable} -m niah --version"
FULL = (
    "niah: stdout: cannot be written (No space left on device); files that were written stay; free some space, or send "
    "it elsewhere\n"
)


def shell(line: str, **environment: str) -> tuple[int, str]:
    """Exit code and stderr."""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment_with(**environment))
    return done.returncode, done.stderr


@pytest.mark.parametrize(("to", "code", "said"), [
    (">&-", 0, ""), ("2>&-", 0, ""), (">&- 2>&- <&-", 0, ""), (">/dev/full", 1, FULL), (">/dev/full 2>&-", 1, ""),
    (">/dev/full 2>/dev/full", 1, ""), ("| true; exit ${PIPESTATUS[0]}", 0, ""),
])
def test_where_stdout_and_stderr_may_go(to, code, said):
    assert shell(f"{VERSION} {to}") == (code, said)


def test_an_error_without_a_place_to_be_told_is_an_exit_code():
    for to in ("2>&-", "2>/dev/full", "2> >(true)"):
        assert shell(f"{VERSION.removesuffix('--version')} nonsense {to}") == (1, "")


def test_a_closed_stream_is_no_files_number():
    code = "import os, sys; from niah import terminal; terminal.take_streams(); sys.exit(os.open('/dev/null', 0))"
    assert shell(f'{sys.executable} -c "{code}" >&- 2>&- <&-') == (3, "")


def test_characters_that_a_stream_lacks_are_escapes():
    code = "from niah import terminal; terminal.take_streams(); terminal.note('\u6a21 \xe9')"
    assert shell(f'{sys.executable} -c "{code}"', PYTHONIOENCODING="ascii") == (0, "\\u6a21 \\xe9\n")


@pytest.mark.parametrize("word", ["name=t\udcff", "task.question=\udcff?", "outputs=/d/\udcff"])
def test_a_word_of_other_bytes_is_one_line(niah, word):
    done = niah("engine=fake", word)
    shown = word.replace("\udcff", "\\xff")
    assert done.returncode == 1 and done.stderr.startswith(f"niah: {shown}: holds bytes that are no text; expected UTF")


def test_a_full_stdout_is_told_once_and_no_reader_never():
    with terminal.stream(os.open("/dev/full", os.O_WRONLY), is_beside=False) as out:
        with pytest.raises(NiahError, match="stdout: cannot be written"):
            terminal.say("one", file=out)
        terminal.say("two", file=out)
    reads, writes = os.pipe()
    os.close(reads)
    with terminal.stream(writes, is_beside=False) as out:
        terminal.say("one", "two", file=out)


def test_what_is_said_beside_never_fails_and_waits_for_nobody():
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with terminal.stream(writes, is_beside=True) as err:
        for _ in range(100):
            terminal.say("x" * 10_000, file=err)
    assert len(os.read(reads, 2**20)) > 1000
    os.close(reads)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(writes)  # the stream was its owner
