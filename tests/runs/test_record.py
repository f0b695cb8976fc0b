"""run.json: one typed record that is written as it was read, whatever version wrote it."""

import json

import pytest

from niah.errors import NiahError
from niah.records import EngineFacts, RunRecord, RunSession, Sources
from niah.runs import record
from niah.runs.store import RunFolder
from tests.helpers.command import REPOSITORY

KEPT = REPOSITORY / "tests/runs/f8078f3/outputs"


def test_fingerprint_ignores_order_of_keys():
    one = record.fingerprint({"a": 1, "b": [2]})
    assert one == record.fingerprint({"b": [2], "a": 1}) != record.fingerprint({"a": 1, "b": [3]})


@pytest.mark.parametrize("name", ["bm25", "full", "wide"])
def test_what_an_earlier_version_wrote_is_written_again_byte_for_byte(name):
    file = KEPT / name / "run.json"
    assert record.text(record.read(file)) == file.read_text()


def test_what_reports_need_of_it():
    found = record.read(KEPT / "bm25" / "run.json")
    assert (found.name, found.model_title, found.scorer, found.kv_dtype) == (
        "bm25", "SmolLM2-135M-Instruct", "contains", "bfloat16"
    )
    assert (found.task, found.answer_kind) == ("multikey", "number")
    assert (found.reader, found.reader_settings["budget"]) == ("bm25", 512)
    assert (found.lengths, found.depths, found.scope.variants) == ([1024, 4096], [0.0, 50.0, 100.0], ["bf16", "fp8"])
    assert found.engine.facts["window"] == 700 and list(found.engines) == ["bf16", "fp8"] and not found.engine.server
    assert found.sources.haystack_tokens == 24
    (session,) = found.sessions
    assert session.trials_before == 0 and session.trials_seconds["fp8"] > 0


def test_what_a_newer_version_added_is_kept(tmp_path):
    content = json.loads((KEPT / "full" / "run.json").read_text())
    content["certificate"] = {"length": 4096}
    for part in (content["sources"], content["plan"], content["environment"], content["sessions"][0]):
        part["new"] = [1, {"two": None}]
    content["engine"]["new"] = 3
    file = tmp_path / "run.json"
    file.write_text(json.dumps(content))
    again = json.loads(record.text(record.read(file)))
    assert again == content and list(again) == list(content)


def test_a_session_holds_what_was_measured_and_nothing_else(tmp_path):
    with RunFolder(tmp_path) as folder:
        session = RunSession("then", 3, trials_seconds={"bf16": 1.5})
        folder.write_record(RunRecord(sessions=[session], engine=EngineFacts({"name": "fake"})))
        found = folder.record()
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["sessions"] == [{"started": "then", "trials_before": 3, "trials_seconds": {"bf16": 1.5}}]
    assert content["sources"] == {"tokenizer_sha256": "", "haystack_sha256": None} and found.sources == Sources()
    assert content["engine"] == {"name": "fake"} and content["schema"] == record.SCHEMA


def test_schema_1_is_read_as_one_variant(tmp_path):
    session = {"started": "then", "trials_before": 0, "trials_seconds": 2.5, "finished": "now"}
    (tmp_path / "run.json").write_text(json.dumps({
        "schema": 1, "name": "old", "config": {"kv": {"name": "fp8", "dtype": "fp8_e4m3"}}, "engine": {"vllm": "0.9"},
        "plan": {"num_trials": 4}, "sessions": [session],
    }))
    found = record.read(tmp_path / "run.json")
    assert found.sessions[0].trials_seconds == {"fp8": 2.5} and found.sessions[0].finished == "now"
    assert found.engines == {} and found.engine.vllm == "0.9" and found.scope.has_depth and not found.control_due


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 2'])
def test_what_is_no_record_is_one_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(NiahError, match=r"run\.json: unreadable .*expected what niah wrote"):
        record.read(tmp_path / "run.json")
