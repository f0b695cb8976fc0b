"""niah.run and niah.sweep: the command in a process of its own, what it says, and what ends it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import niah
from niah.runs.store import RunFolder
from tests.helpers.command import environment_with, rows

WORDS = ("engine=fake", "haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[0,100]", "report.formats=[png]")
SLOW = (*WORDS, "engine.seconds=0.3", "ctx.repeats=50", "name=slow")


def until_rows(folder: Path) -> None:
    while not (folder / "rows.jsonl").exists():
        time.sleep(0.05)


def test_a_run_is_measured_once_and_read_as_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = niah.run(*WORDS, "engine.window=600", "name=first")
    said = capsys.readouterr()
    assert "page: outputs/first/report.html" in said.out and "4 of 4 trials to run" in said.err
    monkeypatch.chdir("/")  # the folder is found from anywhere
    assert run.folder == tmp_path / "outputs" / "first" and run.page.is_file() and run.settings["task"]["name"]
    kept = rows(run.folder)
    assert run.rows[["trial", "outcome", "score"]].to_dict("records") == [
        {key: row[key] for key in ("trial", "outcome", "score")} for row in kept
    ]
    assert set(run.rows["length"]) == {512, 1024} and run.rows["needle_spans"].tolist()[0] == kept[0]["needle_spans"]


def test_what_the_command_refuses_is_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(niah.NiahError) as caught:
        niah.run("engine=fake", "ctx.dephts=[0]")
    assert str(caught.value).startswith("ctx.dephts: unknown key") and "\n" not in str(caught.value)
    assert "dephts" not in capfd.readouterr().err  # said once, by the exception
    with pytest.raises(niah.NiahError, match=r"niah\.sweep"):
        niah.run("-m", "engine=fake")
    with pytest.raises(niah.NiahError, match=r"niah\.sweep"):
        niah.run("experiment=rag_vs_long")
    with pytest.raises(niah.NiahError, match="got 8, no text"):
        niah.run(8)  # type: ignore[arg-type]
    assert not (tmp_path / "outputs").exists()


def test_trials_without_an_answer_are_told_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(niah.UnansweredError, match="1 of 4 trials ended without an answer"):
        niah.run(*WORDS, "engine.fail_at=[1]", "name=failed")
    run = niah.load("outputs/failed")
    assert run.rows["score"].isna().sum() == 1 and run.accuracy("run")["failures"].tolist() == [1]


def test_ctrl_c_stops_the_run_and_its_rows_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "slow"

    def stop() -> None:
        until_rows(folder)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop).start()
    with pytest.raises(KeyboardInterrupt):
        niah.run(*SLOW)
    with RunFolder(folder):  # no process is at work there any more
        assert 0 < len(niah.load(folder).rows) < 200
    assert "this prompt" not in capsys.readouterr().out


def test_a_run_ends_with_the_program_that_started_it(tmp_path):
    program = f"import niah; niah.run(*{SLOW!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment_with(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until_rows(tmp_path / "outputs" / "slow")
    process.kill()
    process.wait()
    with RunFolder(tmp_path / "outputs" / "slow", waits=True) as folder:
        assert 0 < len(folder.rows()) < 200
