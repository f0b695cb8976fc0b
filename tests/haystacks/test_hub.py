"""A column of a data set: streamed from local files, and one line for all that can be wrong with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from niah.haystacks.hub import Hub
from tests.helpers.command import REPOSITORY
from tests.helpers.sources import read, refused


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text, "number": 1}) + "\n" for text in ("One.", "", None, "Two."))
    )
    return str(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("most", [0, 100])
def test_an_empty_row_ends_nothing(tmp_path, most):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ("", "Hello there.")))
    assert read(Hub(dataset="json", data_files=[str(tmp_path / "rows.jsonl")], max_characters=most)) == ["Hello there."]


def test_a_column_of_local_files_is_streamed(tmp_path, rows, capfd):
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "set").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"body": ["Three.", "Four."]}), tmp_path / "set" / "part.parquet")
    source = Hub(dataset="json", data_files=[rows])
    assert read(source)[:2] == ["One.", "Two."]
    assert read(Hub(dataset="json", data_files=[rows], max_characters=6)) == ["One.", "Tw"]
    parquet = Hub(dataset="parquet", data_files=[str(tmp_path / "set" / "*.parquet")], column="body")
    assert read(parquet) == read(Hub(dataset=str(tmp_path / "set"), column="body")) == ["Three.", "Four."]
    before = source.identity()
    Path(rows).write_text(json.dumps({"text": "Changed."}))
    assert source.identity() != before != Hub(dataset="json", data_files=[rows], revision="x").identity()
    assert read(source) == ["Changed."]
    assert capfd.readouterr() == ("", "")


def test_what_is_wrong_with_a_data_set_is_one_line(tmp_path, rows):
    local = {"dataset": "json", "data_files": [rows]}
    refused(Hub(), "haystack.dataset: not given")
    refused(Hub(dataset="json"), "haystack.data_files: not given")
    refused(Hub(dataset="json", data_files=[str(tmp_path / "none.jsonl")]), "nothing to read")
    refused(Hub(**local, column="body"), "no such column", "text, number")
    refused(Hub(**local, column="number"), "holds no text", "int in column number")
    refused(Hub(**local, split="test"), "cannot be streamed", "test")
    Path(rows).write_text('{"text": ""}\n')
    refused(Hub(**local), "has no text")
    Path(rows).write_text("{'text")
    refused(Hub(**local), "cannot be streamed")


def test_a_hub_that_cannot_be_reached_is_one_line():
    code = """
from niah.errors import NiahError
from niah.haystacks.hub import Hub
try:
    next(Hub(dataset="niah/does-not-exist").documents(print))
except NiahError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.startswith("haystack.dataset=niah/does-not-exist: cannot be streamed")
    assert done.stdout.count("\n") == 1 and "network" in done.stdout
