"""Real tokenizers and a way to run the command as a user does."""

import subprocess

import pytest

from niah.tokens.tokenizer import Tokenizer
from tests.helpers.command import command, environment_with
from tests.helpers.tokenizers import TOKENIZERS, load_tokenizer


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request) -> Tokenizer:
    return load_tokenizer(request.param)


@pytest.fixture
def niah(tmp_path):
    """Runs ``python -m niah`` in an empty folder; returns the finished process."""

    def call(*arguments: str, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command(*arguments), cwd=tmp_path, capture_output=True, text=True, timeout=timeout,
            env=environment_with(**environment), stdin=subprocess.DEVNULL,
        )

    return call


def pytest_collection_modifyitems(items):
    from niah.environment import gpus

    if not gpus():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))
