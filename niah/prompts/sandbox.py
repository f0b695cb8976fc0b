"""Chat templates in a process of their own: one is started with the first, and renders all that follow."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

CPU_SECONDS = 5
"""Of one rendering; usual ones take a millisecond."""
MEMORY_BYTES = 2**29
MOST_CHARACTERS = 1_000_000
"""Of what a template adds to a conversation."""
_PROGRAM = Path(__file__).with_name("jinja.py")
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "SYSTEMROOT")
"""Of the environment, for Python itself: a template sees no keys."""


class TemplateFaultError(Exception):
    """A template that does not render; ``line`` of it, 0 where that is not known. ``is_refusal``: it said so itself."""

    def __init__(self, why: str, line: int, *, is_refusal: bool = False):
        super().__init__(why)
        self.line = line
        self.is_refusal = is_refusal


def rendered(template: str, variables: Mapping[str, Any]) -> str:
    """The template with these variables, plain data. Raises TemplateFaultError where it fails or takes too much."""
    return _of_process(os.getpid()).rendered(template, variables)


@cache
def _of_process(pid: int) -> "Renderer":
    """That of this process: one that was forked has its own."""
    return Renderer()


class Renderer:
    """The process, started again where a template has ended it. It ends with its standard input: with this one."""

    def __init__(self, cpu_seconds: float = CPU_SECONDS) -> None:
        self._cpu_seconds = cpu_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def rendered(self, template: str, variables: Mapping[str, Any]) -> str:
        asked = json.dumps({"template": template, "variables": variables}, default=str)
        with self._lock:
            process = self._running()
            assert process.stdin and process.stdout
            try:
                process.stdin.write(asked + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
            except BaseException:  # a Ctrl-C between question and answer
                self.end()
                raise
            if not line:
                raise TemplateFaultError(self._why_ended(self.end()), 0)
        answer = json.loads(line)
        if "text" not in answer:
            raise TemplateFaultError(answer["why"], answer["line"], is_refusal=answer.get("is_refusal", False))
        return str(answer["text"])

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            places = os.pathsep.join(place for place in sys.path if place)
            limits = map(str, (self._cpu_seconds, MEMORY_BYTES, MOST_CHARACTERS))
            self._process = subprocess.Popen(
                [sys.executable, "-S", str(_PROGRAM), *limits], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, encoding="utf-8", cwd=_PROGRAM.parent,
                env={**kept, "PYTHONPATH": places, "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"},
            )
        return self._process

    def end(self) -> int:
        """Ends the process; its exit code."""
        process, self._process = self._process, None
        assert process
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not written yet
                if pipe:
                    pipe.close()
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _why_ended(self, code: int) -> str:
        if code == -signal.SIGPROF:
            return f"it takes longer than {self._cpu_seconds:g} s"
        if code == -signal.SIGKILL:
            return "the system ended it, as it does where memory runs out"
        return f"it ended the process that renders it (exit code {code})"
