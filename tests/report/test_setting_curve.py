"""One curve over a number that a sweep varies, and what a scorer measures beside the score."""

import json
from dataclasses import replace

import pytest

from niah.commands.report import report
from niah.runs import sweeps
from niah.stats import beside
from tests.helpers.runs import grid, rows, run

RIGHT = {1: 4, 16: 3, 256: 1}
"""Of four repeats, by number of keys."""


@pytest.fixture
def swept(tmp_path):
    for keys, num in RIGHT.items():
        content = rows(grid(4, (8192,), (50.0,)), lambda trial, num=num: trial.repeat < num, salt=str(keys))
        run(tmp_path / f"run-{keys}", content, task={"name": "multikey", "num_keys": keys})
    return tmp_path


def test_runs_that_differ_in_one_number_are_one_curve_in_its_order(swept):
    lines = report([str(swept)], ["report.page=false"])
    named = [line for line in lines if line.startswith(str(swept / "run-"))]
    assert named == [str(swept / f"run-{keys} (num_keys {keys})") for keys in RIGHT]
    assert f"curve by task.num_keys: {swept / 'curve_by_setting.png'}" in lines
    assert (swept / "curve_by_setting.png").stat().st_size > 5000


def test_only_one_number_makes_a_curve():
    def config(**task):
        base = {"model": {"name": "m", "path": "x/y"}, "task": {"name": "t"}, "haystack": {"name": "h"},
                "engine": {"name": "fake"}, "ctx": {"lengths": [1024]}}
        return {**base, "task": {"name": "t", **task}}

    assert sweeps.varied([config(a=2), config(a=1)]) == ("task.a", [2, 1])
    for others in ([config(a=1), config(a=1)], [config(a=1, b=1), config(a=2, b=2)], [config(a="x"), config(a="y")],
                   [config(a=1), config(a=1), config(a=2)], [config(a=True), config(a=False)]):
        assert sweeps.varied(others) is None


def test_measures_beside_the_score_are_told_and_shown(tmp_path):
    content = rows(grid(2, (1024, 2048), (50.0,)), lambda trial: 0.25)
    content = [
        replace(row, beside={"identified": float(row.length == 1024), "has_prefix": 1.0}) for row in content
    ]
    path = run(tmp_path / "one", content)
    said = "beside the score, mean of 4 answers: identified 0.50, has prefix 1.00"
    assert beside.sentence(content) == said and said in report([path], ["report.formats=[]", "report.page=false"])
    (shown,) = report([path], ["format=json"])
    (of_run,) = json.loads(shown)["runs"]
    assert of_run["overall"]["beside"] == {"identified": 0.5, "has_prefix": 1.0}
    assert [one["beside"]["identified"] for one in of_run["lengths"]] == [1.0, 0.0]
    assert beside.sentence(rows(grid(1), lambda trial: True)) == ""
