"""Stored responses are judged again by today's rules, without an engine, the old scores kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from niah import scorers
from niah.cli import main
from niah.runs import scoring, store
from tests.helpers.command import REPOSITORY, rows

KEPT = REPOSITORY / "tests/runs/f8078f3/outputs"


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of an earlier version with responses that its rules and ours judge differently."""
    shutil.copytree(KEPT / "full", tmp_path / "full")
    found = rows(tmp_path / "full")
    said = ["{:,}", "It is **{}**.", "It is {}, and 1111111.", "{}0", "I’m sorry, I cannot reveal that.", "14{}", ""]
    for row, form in zip(found, said, strict=False):
        row |= {"response": form.format(int(row["targets"][0])), "outcome": "wrong", "score": 0.0}
        row["answer"] = row["response"]
        if form in ("It is **{}**.", "It is {}, and 1111111."):
            row |= {"outcome": "correct", "score": 1.0}
    found[6] |= {"outcome": "truncated", "finish_reason": "length"}
    found[7] |= {"outcome": "engine-error", "score": None, "response": "", "error": "gone"}
    (tmp_path / "full/rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found))
    return tmp_path / "full"


def test_rows_are_judged_again_and_the_old_score_is_kept(run, capsys):
    before = rows(run)
    assert main(["rescore", str(run)]) == 0
    said, after = capsys.readouterr().out, rows(run)
    changed = [number for number, row in enumerate(after) if "scored_before" in row]
    silent = [number for number, row in enumerate(before) if row["response"] == "I do not know."]
    assert changed == sorted({0, 4, *silent})
    assert (after[0]["outcome"], after[0]["score"]) == ("correct", 1.0)
    assert after[0]["scored_before"] == {
        "score": 0.0, "outcome": "wrong", "answer": before[0]["response"], "version": 1
    }
    assert after[4]["outcome"] == "refused" and after[silent[0]]["outcome"] == "absent-claimed"
    for old, new in zip(before, after, strict=True):
        kept = {key: value for key, value in new.items() if key not in ("outcome", "score", "answer", "scored_before")}
        assert kept == {key: value for key, value in old.items() if key in kept}
    assert f"{len(changed)} of 48 rows, 1 of them in their score" in said and "trial" in said
    assert json.loads((run / "run.json").read_text())["scorer_version"] == scorers.VERSION


def test_a_second_time_changes_nothing(run, capsys):
    main(["rescore", str(run)])
    files = {name: (run / name).read_bytes() for name in ("rows.jsonl", "run.json")}
    capsys.readouterr()
    assert main(["rescore", str(run)]) == 0
    assert "48 rows, all scored as before" in capsys.readouterr().out
    assert files == {name: (run / name).read_bytes() for name in files}


def test_report_says_that_the_scorer_changed_until_it_is_rescored(run, capsys):
    assert main(["report", str(run)]) == 0
    said = f"the scorer changed since this run (rules 1, now {scorers.VERSION}): it would judge otherwise"
    assert said in capsys.readouterr().out
    main(["rescore", str(run)])
    capsys.readouterr()
    main(["report", str(run)])
    said = capsys.readouterr()
    assert "the scorer changed" not in said.out + said.err


def test_kinds_of_misses_alone_are_a_note(tmp_path, capsys):
    shutil.copytree(KEPT / "full", tmp_path / "full")
    main(["report", str(tmp_path / "full")])
    said = capsys.readouterr()
    assert "the scorer changed" not in said.out
    assert "40 of 48 rows, 0 of them in their score (40 wrong is now absent-claimed)" in said.err


def test_a_row_that_is_judged_as_at_first_again_holds_no_old_score(run):
    _, record, found = store.open_for_reading(str(run))
    once = scoring.rescored(record, found)
    turned = [
        replace(row, score=0.0, outcome="wrong") if row.scored_before else row for row in once.rows
    ]
    again = scoring.rescored(record, turned)
    assert [row.scored_before for row in again.rows] == [row.scored_before for row in once.rows]
    first = replace(once.rows[1], score=0.0, outcome="wrong", scored_before={
        "score": 1.0, "outcome": "correct", "answer": "as it was", "version": 1,
    })
    back = scoring.rescored(record, [first]).rows[0]
    assert back.scored_before is None and (back.outcome, back.answer) == ("correct", "as it was")


def test_a_folder_in_use_and_words_are_refused(run, capsys):
    with store.RunFolder(run):
        assert main(["rescore", str(run)]) == 1
    assert "another process is running in this folder" in capsys.readouterr().err
    assert main(["rescore", str(run), "x=1"]) == 1 and "expected folders alone" in capsys.readouterr().err
    assert main(["rescore", str(run.parent / "none")]) == 1
    assert not (run.parent / "none").exists()


def test_no_class_is_imported_because_run_json_names_it(run, capsys, tmp_path):
    record = json.loads((run / "run.json").read_text())
    record["config"]["scorer"]["_target_"] = "tests.helpers.own.Anything"
    (run / "run.json").write_text(json.dumps(record))
    before = (run / "rows.jsonl").read_bytes()
    assert main(["rescore", str(run)]) == 1
    assert "scorer._target_: got 'tests.helpers.own.Anything'" in capsys.readouterr().err
    assert (run / "rows.jsonl").read_bytes() == before
    assert main(["report", str(run)]) == 0


def test_a_kill_between_the_two_files_is_mended_by_the_same_command(run, capsys):
    main(["rescore", str(run)])
    record = json.loads((run / "run.json").read_text())
    del record["scorer_version"]  # as if it had ended before run.json
    (run / "run.json").write_text(json.dumps(record))
    whole = (run / "rows.jsonl").read_bytes()
    assert main(["rescore", str(run)]) == 0 and (run / "rows.jsonl").read_bytes() == whole
    assert json.loads((run / "run.json").read_text())["scorer_version"] == scorers.VERSION


def test_where_the_question_decides_it_is_in_the_row(tmp_path):
    _, record, found = store.open_for_reading(str(KEPT / "full"))
    said = "The text does not mention Oslo's number, but Lisbon's is 4829173."
    asked = {name: f"What is the special magic number for {name}?" for name in ("Oslo", "Lisbon")}
    made = [replace(found[0], response=said, question=question) for question in asked.values()]
    assert [row.outcome for row in scoring.rescored(record, made).rows] == ["absent-claimed", "wrong"]


def test_a_run_that_cannot_be_judged_keeps_no_other_from_it(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "aaa")
    stored = json.loads((tmp_path / "aaa/run.json").read_text())
    stored["config"]["scorer"]["_target_"] = "nobody.Has"
    (tmp_path / "aaa/run.json").write_text(json.dumps(stored))
    assert main(["rescore", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert f"niah: {tmp_path / 'aaa'}: scorer._target_: got 'nobody.Has'" in said.err
    assert "rescore: 1 of 2 runs are as they were" in said.err and any("scored_before" in row for row in rows(run))
    assert not any("scored_before" in row for row in rows(tmp_path / "aaa"))
