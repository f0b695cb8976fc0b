"""Real tokenizers and a way to run the command as a user does."""

import signal
import subprocess
from pathlib import Path

import pytest

from niah.tokens.tokenizer import Tokenizer
from tests.helpers.command import command, environment_with
from tests.helpers.forked import Commands
from tests.helpers.tokenizers import TOKENIZERS, load_tokenizer


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request) -> Tokenizer:
    return load_tokenizer(request.param)


@pytest.fixture(scope="session")
def commands():
    server = Commands()
    yield server
    server.close()


@pytest.fixture
def niah(tmp_path, request, commands):
    """Runs ``python -m niah`` in an empty folder; returns the finished process. An engine's is one of its own."""
    is_engines = request.node.get_closest_marker("engine") is not None

    def call(*arguments: str, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess:
        env = environment_with(**environment)
        if not is_engines and commands.can_run(env):
            return commands.run(arguments, tmp_path, env, timeout)
        return subprocess.run(
            command(*arguments), cwd=tmp_path, capture_output=True, text=True, timeout=timeout, env=env,
            stdin=subprocess.DEVNULL,
        )

    return call


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The folder of runs of commands that run in this process (helpers.command.said), in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    return tmp_path / "outputs"


def pytest_configure():
    """Where tests are a background job of a script, Ctrl-C is ignored, and would be by every command they start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    from niah.environment import gpus

    if not gpus():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))
