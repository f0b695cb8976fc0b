"""Run folders that an earlier version wrote are continued, shown, reported and compared as that version did.

``f8078f3`` (named by its commit, schema 2) was written by these words: engine=fake task=multikey haystack=noise
ctx.lengths=[1k,4k] ctx.depths=[0,50,100] ctx.repeats=4 kv=[bf16,fp8], then for each folder those of ``FOLDERS``.
``expected`` is what it printed of them, but for what compare and report have begun to say since: what could have been
found, where NoLiMa's base is measured, and the graded signal's verdict.
"""

import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from niah import environment
from niah.runs.record import plain
from tests.helpers.command import REPOSITORY, comparable, rows

KEPT = REPOSITORY / "tests/runs/f8078f3"
GRID = (
    "engine=fake", "task=multikey", "haystack=noise", "ctx.lengths=[1k,4k]", "ctx.depths=[0,50,100]", "ctx.repeats=4",
    "kv=[bf16,fp8]",
)
FOLDERS = {
    "bm25": ("engine.window=700", "reader=bm25", "reader.budget=512"),
    "full": ("engine.window=900",),
    "wide": ("engine.window=2500",),
}


@pytest.fixture
def outputs(tmp_path) -> Path:
    shutil.copytree(KEPT / "outputs", tmp_path / "outputs")
    return tmp_path / "outputs"


@pytest.mark.parametrize("target", (KEPT / "targets.txt").read_text().split())
def test_every_plug_in_is_still_where_conf_said_it_was(target):
    module, _, name = target.rpartition(".")
    assert getattr(import_module(module), name)


def expected(name: str) -> str:
    return (KEPT / "expected" / name).read_text()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_finished_run_is_recognised(niah, outputs, name):
    done = niah(*GRID, *FOLDERS[name], f"name={name}")
    assert done.returncode == 0 and f"outputs/{name}: all 48 trials were done before" in done.stderr, done.stderr
    for file in ("rows.jsonl", "run.json"):
        assert (outputs / name / file).read_bytes() == (KEPT / "outputs" / name / file).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_a_run_that_was_cut_short_is_continued_to_the_same_rows(niah, outputs, name):
    file = outputs / name / "rows.jsonl"
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:20]) + whole[20][:100])
    content = json.loads((outputs / name / "run.json").read_text())
    content["environment"] = plain(environment.describe())  # as if this machine and its packages had begun it
    (outputs / name / "run.json").write_text(json.dumps(content))
    done = niah(*GRID, *FOLDERS[name], f"name={name}")
    assert done.returncode == 0 and "28 of 48 trials to run" in done.stderr, done.stderr
    assert file.read_bytes().startswith(b"".join(whole[:20]))
    kept = [as_judged_now(row) for row in comparable(rows(KEPT / "outputs" / name))]
    found = [as_judged_now(row) for row in comparable(rows(outputs / name))]
    assert without_times(found) == without_times(kept)


def as_judged_now(row: dict) -> dict:
    """That version called "I do not know." wrong; it claims absence. The score is the same."""
    return {**row, "outcome": "absent-claimed"} if row["response"] == "I do not know." else row


def without_times(found: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if not key.endswith("seconds")} for row in found]


@pytest.mark.parametrize(("name", "trial"), [("bm25", 3), ("bm25", 17), ("wide", 10)])
def test_what_the_model_saw_is_shown(niah, outputs, name, trial):
    assert niah("show", f"outputs/{name}", "--trial", str(trial)).stdout == expected(f"show_{name}_{trial}.txt")


def _as_then(printed: str) -> str:
    """Without the line that names the page, and the one that says that no model was asked: that version had neither."""
    new = ("page: ", "engine=fake: ")
    return "".join(line for line in printed.splitlines(keepends=True) if not line.startswith(new))


def test_it_is_reported_as_before(niah, outputs):
    assert _as_then(niah("report", "outputs/bm25").stdout) == expected("report.txt")
    runs = json.loads((outputs / "bm25" / "report.json").read_text())["runs"]
    assert [run["num_answers"] for run in runs] == [24, 24]


def test_it_is_compared_as_before(niah, outputs):
    assert _as_then(niah("compare", "outputs/full", "outputs/wide").stdout) == expected("compare.txt")
    for name in ("compare.json", "discordant.jsonl"):
        assert (outputs / "compare-full-wide" / name).read_text() == expected(name)
