"""What says that something goes on while nothing comes back."""

import os
import threading
import time

from niah.runs import console


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
