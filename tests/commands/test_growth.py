"""What a verb does grows as its rows and runs do, not as their square: counted in function calls, not in seconds."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from niah.commands.compare.compare import compare
from niah.commands.rag.rag import rag
from niah.commands.report import report
from niah.commands.rescore import rescore
from niah.runs import resume
from niah.runs.store import RunFolder
from tests.helpers.configs import built
from tests.helpers.runs import grid, rows, run

SIZES = (32, 64, 128)
SCORER = {"_target_": "niah.scorers.contains.Contains", "name": "contains"}
QUADRATIC = 2.5
"""Twice the steps are 2 times the calls where growth is linear, 4 times where it is quadratic."""


def calls(work: Callable[[], Any]) -> int:
    """Calls of functions, of Python and of C."""
    num = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal num
        num += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return num


def is_linear(work: Callable[[int], Any]) -> bool:
    work(SIZES[0])  # imports, and what is kept from then on
    few, some, many = (calls(lambda size=size: work(size)) for size in SIZES)
    return many - some < QUADRATIC * (some - few)


def sweep(folder: Path, num: int) -> str:
    """Runs of one trial a cell, each with answers of its own."""
    for number in range(num):
        right = [number >> place & 1 for place in range(9)]
        run(folder / f"{number:03d}", rows(grid(1), lambda trial, right=right: bool(right[trial.index])))
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("verb", [compare, report])
def test_more_runs(tmp_path, verb):
    folders = {num: sweep(tmp_path / str(num), num) for num in SIZES}
    assert is_linear(lambda num: verb([folders[num]], ["report.formats=[]"]))


@pytest.mark.slow
def test_more_runs_that_are_copies(tmp_path):
    """None is looked at against each other one."""
    for num in SIZES:
        content = rows(grid(1), lambda trial: True)
        for number in range(num):
            run(tmp_path / str(num) / str(number), content)
            (tmp_path / str(num) / str(number) / "rows.jsonl").write_bytes(
                (tmp_path / str(num) / "0" / "rows.jsonl").read_bytes()
            )
        run(tmp_path / str(num) / "other", rows(grid(1), lambda trial: False))
    assert is_linear(lambda num: compare([str(tmp_path / str(num))], ["report.formats=[]"]))


@pytest.mark.parametrize("verb", [report, rescore, rag])
def test_more_rows(tmp_path, verb):
    folders: dict[int, list[str]] = {}
    for num in SIZES:
        folders[num] = []
        for reader in ("full", "bm25"):
            made = [
                dataclasses.replace(
                    row, context_sha256=str(row.trial), reader=reader,
                    retrieved=[[0, 128, 1.0]] if reader == "bm25" else [],
                )
                for row in rows(grid(num, (1024, 2048), (0.0,)), lambda trial, name=reader: name == "full")
            ]
            folders[num].append(run(tmp_path / str(num) / reader, made, reader={"name": reader}, scorer=SCORER))
    works = {
        report: lambda num: report(folders[num], [f"out={tmp_path}/out", "report.formats=[]"]),
        rescore: lambda num: rescore(folders[num][0]),
        rag: lambda num: rag(folders[num], [f"rag.out={tmp_path}/out", "rag.hardware=null", "report.formats=[]"]),
    }
    assert is_linear(works[verb])


def test_more_rows_that_failed(tmp_path):
    """Each was asked before: rows are held against failures."""
    for num in SIZES:
        with RunFolder(Path(run(tmp_path / str(num), rows(grid(num), lambda trial: None, error="x")))) as folder:
            folder.path.joinpath("failures.jsonl").write_bytes(folder.rows_path.read_bytes())
    settings = built("model=smollm2_135m", "engine=fake")
    assert is_linear(lambda num: resume.passed_over(settings, RunFolder(tmp_path / str(num))))
