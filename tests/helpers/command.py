"""The command as a user runs it, and what it left in a run folder."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from niah import cli

REPOSITORY = Path(__file__).resolve().parents[2]
FAKE = ("engine=fake", "haystack=noise", "ctx.lengths=[512,1k,4k]", "ctx.depths=[0,25,50,75,100]")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "niah", *arguments]


def environment_with(**extra: str) -> dict[str, str]:
    dropped = ("NIAH_RESTARTED", "NIAH_STARTED", "LD_PRELOAD", "HYDRA_FULL_ERROR")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **extra}


def is_one_line(done: subprocess.CompletedProcess) -> bool:
    """All it said on stderr, but for what the first run with an empty cache tells."""
    return len([line for line in done.stderr.strip().splitlines() if not line.endswith(", once")]) == 1


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def comparable(found: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in found]


def run_in(place: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Runs ``python -m niah`` in a folder; returns the finished process."""
    return subprocess.run(
        command(*arguments), cwd=place, env=environment_with(), capture_output=True, text=True, timeout=400
    )


def said(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What a command printed that ran in this process, errors too."""
    assert cli.main([*words]) == code
    captured = capfd.readouterr()
    return captured.out + captured.err


def ran_here(place: Path, *commands: Sequence[str]) -> None:
    """Runs commands in a folder, in this process: what a module's fixture measures once for all of its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("NIAH_RESTARTED", "1")
        for words in commands:
            assert cli.main([*words]) == 0, words
