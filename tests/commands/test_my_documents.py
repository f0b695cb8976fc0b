"""From thirty documents and twenty questions to one page and one sentence of advice."""

import json
from pathlib import Path

import pytest

from tests.helpers import own_documents
from tests.helpers.command import ran_here, rows, run_in, said

READERS = ("full", "bm25", "hybrid", "none")


def runs_of(place: Path) -> dict[str, Path]:
    found = {}
    for file in (place / "outputs" / "my_documents").glob("*/run.json"):
        found[json.loads(file.read_text())["config"]["reader"]["name"]] = file.parent
    return found


def words_of(place: Path) -> tuple[str, ...]:
    documents, file = own_documents.write(place)
    return "experiment=my_documents", f"task.path={file}", f"haystack.path={documents}"


@pytest.mark.slow
def test_own_documents_to_page_and_sentence(tmp_path, capfd, monkeypatch):
    words = words_of(tmp_path)
    ran_here(tmp_path, (*words, "engine=fake", "engine.window=900", "ctx.lengths=[1k,2k]", "ctx.depths=[30]"))
    found = runs_of(tmp_path)
    assert set(found) == {*READERS}
    for name, folder in found.items():
        content = sorted(rows(folder), key=lambda row: row["trial"])
        assert [row["question_id"] for row in content[::2]] == [one["id"] for one in own_documents.lines()]
        assert all(row["score"] == 0 for row in content) == (name == "none")
    monkeypatch.chdir(tmp_path)
    text = said(capfd, "rag", "outputs/my_documents")
    (advice,) = (line for line in text.splitlines() if line.startswith("advice: "))
    assert advice.startswith("advice: take ")
    assert "points against the whole context over 1K to 2K, from 20 questions" in advice
    (costs,) = (line for line in text.splitlines() if line.startswith("1,000 questions a day at 2K: "))
    assert all(part in costs for part in ("full 1.98M tokens, $", "; bm25 1K ", "; hybrid 1K ", "(dollars of h100"))
    page = (tmp_path / "outputs" / "my_documents" / "rag" / "report.html").read_text()
    assert advice.partition(":")[0] in page and "questions a day at 2K" in page
    file = tmp_path / "questions.jsonl"
    assert "nothing to mend" in said(capfd, "questions", "check", str(file), f"run={found['none']}")
    refused = said(capfd, "questions", "check", str(file), f"run={found['full']}", code=1)
    assert "is a run of task=questions reader=full; expected task=questions reader=none" in refused


@pytest.mark.engine
@pytest.mark.slow
def test_own_documents_with_a_real_model(tmp_path):
    words = words_of(tmp_path)
    done = run_in(
        tmp_path, *words, "model=smollm2_135m", "ctx.lengths=[2k,4k]", "ctx.depths=[50]", "ctx.repeats=8",
        "hydra.sweeper.params.reader='full,bm25,none'",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = runs_of(tmp_path)
    assert set(found) == {"full", "bm25", "none"}
    accuracy = {name: sum(row["score"] for row in rows(folder)) / 16 for name, folder in found.items()}
    assert accuracy["none"] < min(accuracy["full"], accuracy["bm25"])
    advice = run_in(tmp_path, "rag", "outputs/my_documents")
    assert advice.returncode == 0 and "\nadvice: " in advice.stdout and "from 8 questions" in advice.stdout
