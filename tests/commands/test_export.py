"""``export``: each format holds the rows' own numbers and intervals, is marked where no model was asked, names no path
of this machine; read back by its own package where that is installed. A run is rebuilt from the two files that are
published."""

import dataclasses
import json
import shutil
from hashlib import sha256
from pathlib import Path

import huggingface_hub
import pytest
import yaml

from niah.commands.export.parts import parts, published
from niah.runs import ruler
from niah.stats import cells
from tests.helpers.command import FAKE, ran_here, said
from tests.helpers.runs import grid, rows, run

LOST = "worker died, see /home/someone/outputs/x/engine.log"


@pytest.fixture
def made(tmp_path) -> Path:
    """A run of a model in a folder of this machine, one trial without an answer."""
    content = rows(grid(4), lambda trial: None if trial.index == 5 else trial.length < 32768, engine="vllm")
    content = [dataclasses.replace(row, error=LOST if row.score is None else "") for row in content]
    model = {"name": "m", "label": "", "path": f"{tmp_path}/models/Mine-8B"}
    run(tmp_path / "a", content, model=model, engine={"name": "vllm"}, task={"name": "single"})
    return tmp_path / "a"


def exported(capfd, folder: Path, to: str, *words: str) -> list[Path]:
    told = said(capfd, "export", str(folder), f"to={to}", f"out={folder}/{to}", *words)
    files = [file for file in (folder / to).rglob("*") if file.is_file()]
    assert all(str(file) in told for file in files) and "1 of them without an answer" in told
    for file in files:
        text = file.read_bytes()
        assert b"/home/someone" not in text and str(folder.parent).encode() not in text, file
    return files


def test_a_settings_name_is_looked_up_in_files_once(made):
    ruler._is_text.cache_clear()
    (part,) = parts(str(made))
    names = {part.task for _ in range(500)}
    assert names == {"single"} and ruler._is_text.cache_info().misses <= 20  # else each row reads all tasks' files


def test_every_eval_ever(made, capfd):
    files = exported(capfd, made, "every_eval_ever")
    (aggregate,) = [json.loads(file.read_text()) for file in files if file.suffix == ".json"]
    (samples,) = [file for file in files if file.suffix == ".jsonl"]
    assert {"schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "eval_library", "model_info",
            "evaluation_results"} <= aggregate.keys() and aggregate["schema_version"] == "0.3.0"
    assert aggregate["model_info"]["id"] == "Mine-8B"
    assert all(isinstance(one, str) for one in aggregate["model_info"]["additional_details"].values())
    expected = cells.overall(parts(str(made))[0].rows)
    first, *lengths = aggregate["evaluation_results"]
    found = first["score_details"]
    interval = found["uncertainty"]["confidence_interval"]
    assert (found["score"], interval["lower"], interval["upper"]) == (expected.mean, expected.low, expected.high)
    assert found["uncertainty"]["num_samples"] == expected.n == 35 and len(lengths) == 3
    detailed = aggregate["detailed_evaluation_results"]
    assert samples.match(f"*/{detailed['file_path']}") and detailed["total_rows"] == 35
    assert detailed["checksum"] == sha256(samples.read_bytes()).hexdigest()
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert {line["evaluation_result_id"] for line in lines} == {one["evaluation_result_id"] for one in lengths}
    assert sum(line["evaluation"]["is_correct"] for line in lines) == 23
    assert {line["evaluation_id"] for line in lines} == {aggregate["evaluation_id"]}


def test_inspect(made, capfd):
    (file,) = exported(capfd, made, "inspect")
    content = json.loads(file.read_text())
    assert content["version"] == 2 and len(content["samples"]) == 36
    assert ["error" in one for one in content["samples"]] == ["scores" not in one for one in content["samples"]]
    assert sum("error" in one for one in content["samples"]) == 1
    metrics = content["results"]["scores"][0]["metrics"]
    assert metrics["accuracy_low"]["value"] < metrics["accuracy"]["value"] < metrics["accuracy_high"]["value"]
    log = pytest.importorskip("inspect_ai.log").read_eval_log(str(file))
    assert log.results.scores[0].metrics["accuracy"].value == metrics["accuracy"]["value"]


def test_lm_eval(made, capfd):
    files = exported(capfd, made, "lm_eval")
    (results,) = [json.loads(file.read_text()) for file in files if file.name.startswith("results_")]
    assert list(results["results"]) == ["niah_single", *(f"niah_single_{one}" for one in (8192, 16384, 32768))]
    for name, one in results["results"].items():
        interval = results["configs"][name]["metadata"]["interval"]
        assert interval["low"] <= one["acc,none"] <= interval["high"] and one["acc_stderr,none"] == "N/A"
        for file in files:
            if file.name.startswith(f"samples_{name}_20"):
                scores = [json.loads(line)["acc"] for line in file.read_text().splitlines()]
                assert sum(scores) / len(scores) == one["acc,none"]
    assert len(files) == 4


def test_hugging_face(made, capfd):
    (file,) = exported(capfd, made, "hf_eval_results", "dataset=me/haystack")
    entries = huggingface_hub.parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert [(one.task_id, one.value) for one in entries] == [
        ("single_8k", 100.0), ("single_16k", 100.0), ("single_32k", 0.0)
    ]
    assert "95% interval 0.0 to " in entries[2].notes
    told = said(capfd, "export", str(made), "to=hf_eval_results", code=1)
    assert "expected the id of its data set, as dataset=ORGANISATION/NAME" in told


def test_parquet(made, capfd):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    exported(capfd, made, "parquet")
    table = pandas.read_parquet(made / "parquet/rows.parquet")
    assert len(table) == 36 and table.score.isna().sum() == 1 and json.loads(table.targets[0]) == ["x"]
    lengths = pandas.read_parquet(made / "parquet/lengths.parquet")
    assert list(lengths.n) == [35, 12, 11, 12] and (lengths.low <= lengths.accuracy).all()


@pytest.mark.slow
def test_what_no_model_answered_says_so_and_is_rebuilt_from_two_files(tmp_path, capfd):
    ran_here(tmp_path, [*FAKE[:2], "ctx.lengths=[512,1k]", "ctx.depths=[0,50]", "name=a", "report.formats=[]"])
    folder = tmp_path / "elsewhere/a"
    folder.mkdir(parents=True)
    for name in ("run.json", "rows.jsonl"):
        shutil.copy(tmp_path / "outputs/a" / name, folder)
    for trial in range(4):
        assert "as stored: verified" in said(capfd, "show", str(folder), "--trial", str(trial))
    for to in ("every_eval_ever", "inspect", "lm_eval", "hf_eval_results"):
        named = ["dataset=me/x"] if to == "hf_eval_results" else []
        told = said(capfd, "export", str(folder), f"to={to}", *named)
        assert "(engine=fake: no model was asked)" in told
        for file in (folder / f"export-{to}").rglob("*"):
            if file.is_file() and file.suffix in (".json", ".yaml"):
                assert "no model was asked" in file.read_text() or "engine-fake" in file.read_text()
    assert "expected one of every_eval_ever, inspect" in said(capfd, "export", str(folder), "to=csv", code=1)
    told = said(capfd, "export", str(folder), "to=inspect", "dataset=a/b", code=1)
    assert "dataset: is for to=hf_eval_results" in told


@pytest.mark.parametrize(("text", "expected"), [
    ("see /home/me/x/engine.log", "see <path>"), ("at ~/models/a/b.py:3", "at <path>:3"),
    ("https://host/a/b and 3/4, me/model", "https://host/a/b and 3/4, me/model"), (r"C:\Users\me\x", "<path>"),
])
def test_paths_of_this_machine_are_cut(text, expected):
    assert published({"a": [text]}) == {"a": [expected]}


@pytest.mark.parametrize(("to", "line"), [
    ("latex", "got latex, which is report's: report outputs/a format=latex; expected one of every_eval_ever"),
    ("pdf", "got pdf, which is report's: report outputs/a report.formats=[pdf]; expected one of"),
    ("xml", "got xml; expected one of every_eval_ever, inspect, lm_eval, hf_eval_results, parquet"),
])
def test_what_report_writes_is_said(capfd, to, line):
    assert said(capfd, "export", "outputs/a", f"to={to}", code=1).startswith(f"niah: export to: {line}")
