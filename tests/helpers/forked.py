"""``python -m niah`` as a fork of one process that has imported it: a command costs what it does, not Python's start.

A test process starts one such server; a fork of it has the words, the folder, the environment and the files of its
command, and ends as Python ends.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

_REPOSITORY = Path(__file__).resolve().parents[2]
_READ_LATE = {"NIAH_CACHE", "NIAH_DEBUG", "VLLM_API_KEY", "PYTHONPATH", "PYTEST_CURRENT_TEST"}
"""Variables that no import reads: where others differ from the server's a command is started anew."""
_HEAVY = ("torch", "vllm", "ray", "transformers", "sentence_transformers", "datasets")
"""Libraries that start threads, or take long and are for few commands: they are left to the command."""
_LEFT_OUT = ("niah.engines.vllm", "niah.engines.transformers", "niah.engines.replicas", "niah.models.constructed")
_PART = 0.005
"""Seconds between two looks at a running command."""


class Commands:
    """Starts the server with the first command. ``run`` is as subprocess.run, for ``python -m niah WORDS``."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._environment = _early(os.environ)

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether an import would find the same in this environment as in the server's."""
        return _early(environment) == self._environment

    def run(
        self, words: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Raises subprocess.TimeoutExpired, as subprocess.run does."""
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", __name__], cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        assert self._server.stdin and self._server.stdout
        with tempfile.TemporaryDirectory() as folder:
            said = [Path(folder) / name for name in ("out", "err")]
            asked = {
                "words": list(words), "cwd": str(cwd), "environment": dict(environment), "timeout": timeout,
                "said": list(map(str, said)),
            }
            print(json.dumps(asked), file=self._server.stdin, flush=True)
            code = json.loads(self._server.stdout.readline())
            out, err = (one.read_text() for one in said)
        if code is None:
            raise subprocess.TimeoutExpired(["niah", *words], timeout, out, err)
        return subprocess.CompletedProcess(["niah", *words], code, out, err)

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _READ_LATE}


def _preload() -> None:
    """Imports niah and what it needs. Raises RuntimeError where that starts a thread, which no fork would have."""
    import niah

    for module in walk_packages(niah.__path__, "niah."):
        if not module.name.startswith(_LEFT_OUT):
            with suppress(ImportError):
                import_module(module.name)
    for name in ("tokenizers", *(f"matplotlib.backends.backend_{name}" for name in ("agg", "svg", "pdf"))):
        import_module(name)
    import_module("hydra.core.plugins").Plugins.instance()  # searches all packages for launchers
    names = [Path(f"/proc/self/task/{task}/comm").read_text() for task in os.listdir("/proc/self/task")]
    threads = [name for name in names if not name.startswith("jemalloc")]  # an allocator's, which knows forks
    heavy = [name for name in _HEAVY if name in sys.modules]
    gc.collect()
    gc.freeze()  # what no fork collects, none copies
    if len(threads) > 1 or heavy:
        raise RuntimeError(f"threads {threads} and {heavy} after the imports; expected one thread and none of these")


def _serve() -> None:
    """Answers each line of stdin with the exit code of its command, null after its time. A fork does not return."""
    reply = os.fdopen(os.dup(1), "w")
    for line in iter(sys.stdin.buffer.raw.readline, b""):  # unbuffered: a fork has nothing of the next command
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(asked)
        print(json.dumps(_ended(pid, asked["timeout"])), file=reply, flush=True)
    os._exit(0)


def _ended(pid: int, timeout: float) -> int | None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_PART)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _become(asked: dict[str, Any]) -> None:
    """Makes this fork the process of ``python -m niah WORDS``."""
    os.setpgid(0, 0)
    opened = [os.open(os.devnull, os.O_RDONLY), *(os.open(file, os.O_WRONLY | os.O_CREAT) for file in asked["said"])]
    for number, handle in enumerate(opened):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[0] = asked["cwd"]
    sys.argv = [str(_REPOSITORY / "niah/__main__.py"), *asked["words"]]
    sys.orig_argv = [sys.executable, "-m", "niah", *asked["words"]]
    sys.exit(import_module("niah.__main__").run())


if __name__ == "__main__":
    _preload()
    _serve()
