"""What says that something goes on while nothing comes back."""

import os
import re
import threading
import time

import pytest

from niah.runs import console
from tests.helpers.command import rows, run_in, said


def test_a_ticker_gives_signs_until_it_is_left_and_lets_a_fork_through():
    told = threading.Event()
    with console._Ticker(told.set, 0.01, is_terminal=True):
        assert told.wait(10)
        child = os.fork()
        if not child:  # begins with the lock free, whatever the thread was doing
            os._exit(0 if console._SIGNING.acquire(timeout=5) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    told.clear()
    time.sleep(0.05)
    assert not told.is_set() and not [one for one in threading.enumerate() if one.name == "niah-signs"]


def test_an_engine_that_starts_says_how_long(capfd, monkeypatch):
    monkeypatch.setattr(console, "_FIRST_SIGN", 0.05)
    shown = console.Console()
    with shown.going_on("bf16: the engine starts"):
        time.sleep(0.5)
    assert capfd.readouterr().err.startswith("bf16: the engine starts: 0 s\n")


def test_a_long_prompt_says_how_much_of_it_is_read(place, capfd, monkeypatch):
    monkeypatch.setattr(console, "_FIRST_SIGN", 0.1)
    monkeypatch.setattr(console, "_LOG_SIGN", 0.2)
    words = ("engine=fake", "engine.seconds=1", "haystack=noise", "ctx.lengths=[2k]", "ctx.depths=[50]")
    told = said(capfd, *words, "report.formats=[]", "report.page=false", "name=a")
    found = re.findall(r"this prompt since \d s \(([\d,]+) of 2,016 tokens\)", told)
    read = [int(one.replace(",", "")) for one in found]
    assert read and read == sorted(read) and 0 < read[0] < 2016, told


def test_an_engine_that_ends_while_it_is_asked_ends_no_sign(capfd, monkeypatch):
    def gone() -> tuple[int, int] | None:
        raise RuntimeError("the engine is gone")

    monkeypatch.setattr(console, "_FIRST_SIGN", 0.0)
    shown = console.Console().progress(1, 0, 100, gone)
    shown._wait()
    shown.close()
    assert "this prompt since 0 s" in capfd.readouterr().err


@pytest.mark.engine
@pytest.mark.slow
def test_vllm_tells_how_much_of_a_prompt_it_has_read(tmp_path):
    words = (
        "model=calibration/full", "haystack=noise", "ctx.lengths=[4k]", "ctx.depths=[50]", "engine.cold_check=0",
        "engine._target_=tests.helpers.watched.Watched", "report.formats=[]", "report.page=false", "name=a",
    )
    done = run_in(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    told = [tuple(map(int, line.split())) for line in (tmp_path / "told.txt").read_text().splitlines()]
    (row,) = rows(tmp_path / "outputs" / "a")
    assert {total for _, total in told} == {row["num_prompt_tokens"]}
    read = [one for one, _ in told]
    first = read[: read.index(max(read)) + 1]
    assert first == sorted(first) and len({*first}) > 5 and max(read) == row["num_prompt_tokens"]
