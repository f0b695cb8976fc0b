"""The command in a process of its own: an engine does not live in a notebook's, and vLLM needs variables that only a
new process sees (``words.restart_with_environment``)."""

import codecs
import os
import re
import selectors
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from niah import choices
from niah.commands.caller import CALLER
from niah.errors import NiahError, UnansweredError

_PACKAGES = Path(__file__).resolve().parents[2]
"""The folder that this niah was imported from."""
_LAST_LINE = re.compile(r"(?:^|(?<=\n))niah: [^\n]*\n?\Z")
_STOPPED = 130


def run(words: Sequence[str]) -> list[Path]:
    """Runs ``python -m niah run WORDS`` to its end; the folders of its runs, in order.

    What it says goes to this process's stdout and stderr; its last line, where it fails, into the exception. Ctrl-C
    stops it as it would at a terminal, and is raised again once it has ended.
    """
    checked(words)
    with tempfile.TemporaryDirectory(prefix="niah-") as place:
        told = Path(place) / "folders"
        environment = {**os.environ, CALLER: f"{os.getpid()}:{told}", "PYTHONIOENCODING": "utf-8", **_import_path()}
        with subprocess.Popen(
            [sys.executable, "-m", "niah", "run", *words], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
        ) as process:
            try:
                last = _passed_on(process)
            except BaseException:
                process.send_signal(signal.SIGINT)
                _passed_on(process)  # what it says while it stops; a second Ctrl-C leaves it to that
                raise
        if process.returncode == 0 and told.is_file():
            return [Path(line) for line in told.read_text(encoding="utf-8").splitlines()]
    raise _error(process.returncode, last, words)


def checked(words: Sequence[str]) -> Sequence[str]:
    """The same words. Raises NiahError for one that is no text."""
    for word in words:
        if not isinstance(word, str):
            raise NiahError(f"niah.run: got {word!r}, no text; expected words of the command, as \"ctx=8k\"")
    return words


def config_dir(words: Sequence[str]) -> str | None:
    """The folder of the user's own plug-ins that the words name."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, separator, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            return value if separator else following
    return None


def is_sweep(word: str) -> bool:
    """Whether an ``experiment=NAME`` makes several runs: a file that says so itself, a folder of experiments, a
    list."""
    name = word.partition("=")[2]
    file = choices.file_of("experiment", name)
    if file is None:
        return "," in name or name in choices.folders_of("experiment")
    return choices.is_sweep(name) or name == "ruler_quick"


def _passed_on(process: subprocess.Popen[bytes]) -> str:
    """Writes what the process says to this one's streams until it ends; the line that it fails with is kept back."""
    assert process.stdout and process.stderr
    held = ""
    with selectors.DefaultSelector() as selector:
        for pipe, to in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            selector.register(pipe, selectors.EVENT_READ, (codecs.getincrementaldecoder("utf-8")("replace"), to))
        while selector.get_map():
            for key, _ in selector.select():
                decoder, to = key.data
                text = decoder.decode(data := os.read(key.fd, 65536), final=not data)
                if key.fileobj is process.stderr:
                    text = held + text
                    held = match[0] if (match := _LAST_LINE.search(text)) else ""
                    text = text.removesuffix(held)
                _write(text, to)
                if not data:
                    selector.unregister(key.fileobj)
    if process.wait() == 0:
        _write(held, sys.stderr)
        return ""
    return held.removeprefix("niah: ").strip()


def _write(text: str, to: TextIO) -> None:
    if text:
        to.write(text)
        to.flush()


def _import_path() -> dict[str, str]:
    """The variable that lets another process find this very niah, where it is not among the installed packages."""
    if str(_PACKAGES) in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return {}
    known = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys([str(_PACKAGES), *known]))}


def _error(code: int, last: str, words: Sequence[str]) -> NiahError:
    if code == UnansweredError.exit_code:
        return UnansweredError(last)
    if code == _STOPPED or not last:
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        how = "was stopped" if code == _STOPPED else ended
        return NiahError(f"niah {' '.join(words)}: {how}; finished trials are kept, the same words continue")
    return NiahError(last)
