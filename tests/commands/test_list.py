"""``list`` names the runs in a folder, ``rm`` removes them when it is told to, ``show --cell`` goes from a cell to its
trials."""

import csv
import io
import json
import os
import pty
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from niah import cli
from niah.commands.list import age, runs
from tests.helpers.command import command, environment_with, ran_here

GRID = (
    "engine=fake", "haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[0,50]", "ctx.repeats=2", "report.formats=[]",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    """outputs/a with two variants, outputs/sweep/b, and outputs/broken, whose run.json and rows are none."""
    place = tmp_path_factory.mktemp("list")
    b = (*GRID, "task=multikey", "outputs=outputs/sweep", "name=b", "report.page=false")
    ran_here(place, (*GRID, "kv=[bf16,fp8]", "name=a"), b)
    (place / "outputs/broken").mkdir()
    (place / "outputs/broken/run.json").write_text("{}")
    (place / "outputs/notes.txt").write_text("mine")
    return place / "outputs"


@pytest.fixture
def here(outputs, monkeypatch):
    monkeypatch.chdir(outputs.parent)
    monkeypatch.setenv("NIAH_RESTARTED", "1")


def test_each_run_is_a_line_and_one_that_cannot_be_read_says_why(here, capsys):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (a,), (b,) = ([line for line in lines if line.startswith(f"outputs/{name} ")] for name in ("a", "sweep/b"))
    assert all(text in a for text in ("(fake)", "single", "bf16,fp8", "512-1K", "16/16", "1.00")), a
    assert "multikey" in b and "8/8" in b
    assert any(line.startswith("outputs/broken: ") for line in lines)


def test_json_and_csv_hold_the_same(here, capsys):
    assert cli.main(["list", "outputs", "format=json"]) == 0
    found = {one["folder"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["outputs/a"]["num_answers"] == 16 and found["outputs/a"]["has_page"]
    assert found["outputs/sweep/b"]["lengths"] == [512, 1024] and not found["outputs/sweep/b"]["has_page"]
    assert cli.main(["list", "outputs", "format=csv"]) == 0
    rows = {row["folder"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert cli.main(["list", "outputs", "format=latex"]) == 0
    assert capsys.readouterr().out.count("\\\\") == 1 + len(rows)
    assert rows["outputs/a"]["accuracy"] == str(found["outputs/a"]["accuracy"]) and rows.keys() == found.keys()


def test_runs_that_are_alike_are_told_apart_by_what_was_swept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran_here(tmp_path, ("-m", *GRID, "seed=1,2,10", "name=s", "ctx.repeats=1", "report.page=false"))
    assert cli.main(["list", "outputs/s"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    place = head.index("differs")
    assert {line[place : place + 8].strip() for line in lines} == {"seed 1", "seed 2", "seed 10"}
    assert cli.main(["report", "outputs/s", "report.page=true"]) == 0
    said = capsys.readouterr().out
    places = [said.index(f"(seed {seed})\n") for seed in (1, 2, 10)]
    assert places == sorted(places)
    assert '"seed 10"' in (tmp_path / "outputs/s/index.html").read_text()


@pytest.mark.parametrize("words, expected", (
    (["list", "nowhere"], "nowhere: no such folder"), (["list", "outputs", "format=xml"], "expected one of text, json"),
    (["list", "outputs", "a"], "expected list [DIR]"), (["list", "key=1"], "expected list [DIR]"),
    (["list", "~nobody-here/x"], "~nobody-here/x: no such folder"),
))
def test_other_words_are_one_line(here, capsys, words, expected):
    assert cli.main(words) == 1
    assert expected in capsys.readouterr().err


def test_no_link_is_followed_and_no_folder_entered_for_ever(outputs, tmp_path):
    shutil.copytree(outputs / "a", tmp_path / "a")
    (tmp_path / "again").symlink_to(tmp_path)
    assert [Path(one.folder).name for one in runs(tmp_path)] == ["a"]


@pytest.mark.slow
def test_pipes_where_files_ought_to_be_are_not_waited_for(outputs, tmp_path):
    shutil.copytree(outputs / "a", tmp_path / "in/a")
    shutil.copytree(outputs / "a", tmp_path / "in/b")
    for name in ("a/run.json", "b/excerpts.jsonl", "b/calibration.json", "b/crosscheck.json", "b/report.json",
                 "b/heatmap.svg"):
        (tmp_path / "in" / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / "in" / name)
    for words in (["list", "in"], ["report", "in/b"], ["report", "in"], ["rm", "in/a", "in/b", "yes=true"]):
        done = subprocess.run(
            command(*words), cwd=tmp_path, env=environment_with(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert not [*(tmp_path / "in").glob("*/run.json")]


def test_ages_are_short():
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert [age((now - timedelta(seconds=n)).isoformat(), now) for n in (5, 90, 7200, 200_000, -50)] == [
        "5 s", "1 min", "2 h", "2 d", "0 s"
    ]


def test_rm_asks_and_takes_nothing_but_runs(outputs, tmp_path, monkeypatch, capsys):
    shutil.copytree(outputs / "a", tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    for words, expected in (
        (["rm"], "which run?"), (["rm", "notes", "yes=true"], "no run here"),
        (["rm", "a", "notes", "yes=true"], "no run here"), (["rm", "."], "holds 1 run, and is none itself"),
        (["rm", "a"], "nobody to ask"),
        (["show", "."], ".: holds 1 run, and is none itself; expected one of them, as a"),
        (["rm", "a", "yes=perhaps"], "got yes=perhaps; expected yes=true"),
    ):
        monkeypatch.setattr("sys.stdin", None)
        assert cli.main(words) == 1 and expected in capsys.readouterr().err
        assert (tmp_path / "a/rows.jsonl").is_file() and (tmp_path / "notes").is_dir()
    assert cli.main(["rm", "a", "yes=true"]) == 0
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("answer, is_gone", (("y", True), ("", False), ("no", False)))
def test_rm_believes_a_person(outputs, tmp_path, answer, is_gone):
    shutil.copytree(outputs / "a", tmp_path / "a")
    own, theirs = pty.openpty()
    process = subprocess.Popen(
        command("rm", "a"), cwd=tmp_path, env=environment_with(), stdin=theirs, stdout=subprocess.PIPE, text=True
    )
    os.write(own, f"{answer}\n".encode())
    out, _ = process.communicate(timeout=120)
    assert "for good?" in out and (tmp_path / "a").exists() != is_gone and process.returncode == int(not is_gone)


def test_from_a_cell_to_its_trials(here, capsys):
    assert cli.main(["show", "outputs/a", "--cell", "1k,50"]) == 0
    out = capsys.readouterr().out
    assert "4 rows of 2 trials at 1k,50" in out and out.count("correct") == 4
    assert cli.main(["show", "outputs/a", "--cell=512,0%"]) == 0
    assert cli.main(["show", "outputs/a", "--cell", "1k"]) == 0
    assert "8 rows of 4 trials" in capsys.readouterr().out


@pytest.mark.parametrize("words, expected", (
    (["--cell", "3k,50"], "expected a length of 512, 1K and a depth of 0, 50"), (["--cell", "1k,x"], "as --cell 8k,50"),
    (["--cell"], "not a length"), (["--cell", "1k,0", "--trial", "1"], "expected one of them"),
))
def test_a_cell_that_is_none_is_one_line(here, capsys, words, expected):
    assert cli.main(["show", "outputs/a", *words]) == 1
    assert expected in capsys.readouterr().err
