"""``questions check``: what it finds in a file of questions and its documents, and the code it ends with."""

import json
import re
import shlex

import pytest

from niah.commands.questions.duplicates import Shingles
from niah.commands.questions.findings import documents_of
from niah.haystacks.files import Files
from tests.helpers import own_documents
from tests.helpers.command import ran_here, said


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return own_documents.write(tmp_path_factory.mktemp("own"))


def checked(capfd, file, documents, *words: str, code: int) -> str:
    return said(capfd, "questions", "check", str(file), f"haystack.path={documents}", *words, code=code)


@pytest.mark.slow
def test_a_clean_file_and_the_command_that_asks_without_a_context(own, capfd, tmp_path, monkeypatch):
    documents, file = own
    text = checked(capfd, file, documents, code=0)
    assert "20 questions, 30 documents" in text and "nothing to mend" in text
    line = next(line for line in text.splitlines() if "reader=none" in line)
    words = shlex.split(line)[3:]
    assert words[:4] == ["task=questions", f"task.path={file}", "haystack=files", f"haystack.path={documents}"]
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    ran_here(tmp_path, (*words, "engine=fake", "ctx.repeats=2"))
    run = f"{tmp_path}/outputs/without_context"
    assert "nothing to mend" in said(capfd, "questions", "check", str(file), f"run={run}")
    rows = (tmp_path / "outputs/without_context/rows.jsonl").read_text().splitlines()
    known = {**json.loads(rows[1]), "score": 1.0, "outcome": "correct", "answer": "310 mm,\nI think"}
    (tmp_path / "outputs/without_context/rows.jsonl").write_text(f"{rows[0]}\n{json.dumps(known)}\n")
    text = said(capfd, "questions", "check", str(file), f"run={run}", code=2)
    assert "known without a context: 1" in text and "reader=none" not in text
    assert f"{file}:2: lathe: answered right without a context in 1 of 1 trials ('310 mm, I think')" in text
    own_documents.write_lines(tmp_path / "other.jsonl", own_documents.lines()[5:])
    text = said(capfd, "questions", "check", f"{tmp_path}/other.jsonl", f"run={run}", code=1)
    assert "asked 'dues', which is no question of this file" in text or "asked 'lathe'" in text


def test_everything_that_is_wrong_is_named_with_its_line(own, capfd, tmp_path):
    documents, _ = own
    lines = own_documents.lines()
    changed = [
        lines[0],  # the twin of its document holds the answer too
        {**lines[1], "document": "lathes.md"},
        {**lines[2], "answers": ["1300"]},
        {**lines[3], "id": "dues"},
        {**lines[4], "question": lines[0]["question"].upper(), "document": "dues.md", "answers": ["standing order"]},
        {**lines[5], "question": "Is the cargo bicycle called Hippo?"},
        {"id": "x", "question": "?", "answers": []},
    ]
    file, folder = tmp_path / "mine.jsonl", tmp_path / "documents"
    own_documents.write_lines(file, changed)
    folder.mkdir()
    for name in ("dues.md", "kiln.md", "bicycles.md", "opening.md"):
        (folder / name).write_bytes((documents / name).read_bytes())
    (folder / "twin.txt").write_text((folder / "dues.md").read_text().upper())
    (folder / "near.md").write_text((folder / "opening.md").read_text().replace("blue book", "red book"))
    (folder / "empty.md").write_text("")
    text = checked(capfd, file, folder, code=2)
    for line, found in (
        (1, "an answer stands in .*twin.txt, line 3: 'MEMBERS PAY 23 EUROS"), (2, "has no document 'lathes.md'"),
        (3, r"document 'kiln.md' does not hold the answer \('1300'\)"), (4, "id: 'dues' stands in line 1 too"),
        (5, rf"waste: asks the same as dues \({file}:1\)"), (6, "the question itself holds the answer 'Hippo'"),
        (7, r"answers: got \[\]; expected a list"),
    ):
        assert re.search(f"{file}:{line}: .*{found}", text), line
    assert "dues.md and" in text and "twin.txt hold the same text" in text
    assert "near.md and" in text and "are nearly the same (8" in text and "note: left out:" in text
    assert re.search(r"^\d+ to mend$", text, re.MULTILINE)


def test_of_a_file_without_a_sound_line_no_run_is_proposed(own, capfd, tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"id": "x"}\n')
    text = checked(capfd, tmp_path / "mine.jsonl", own[0], code=2)
    assert "mine.jsonl: 0 questions, 30 documents" in text and "1 to mend" in text and "reader=none" not in text


@pytest.mark.parametrize(("words", "message"), [
    ([], r"questions: got 'nothing'; expected niah questions check mine.jsonl haystack.path=FOLDER"),
    (["check"], "questions: got 'check'; expected niah questions check"),
    (["chekc", "FILE"], "expected niah questions check"),
    (["check", "haystack.path=x"], "expected niah questions check"),
    (["check", "FILE"], "which documents? expected haystack.path=FOLDER, or run=DIR"),
    (["check", "FILE", "ctx=8k"], "got ctx=8k; expected haystack=NAME, haystack.key=value or run=DIR"),
    (["check", "none.jsonl", "haystack.path=x"], "questions check: no such file; got 'none.jsonl'"),
    (["check", "FILE", "haystack.path=nowhere"], "haystack.path: nothing to read; got 'nowhere'"),
    (["check", "FILE", "haystack=generated"], "haystack=generated: is made without end; expected one that has docum"),
    (["check", "FILE", "run=nowhere"], "nowhere: no run here"),
])
def test_what_is_refused_ends_with_1(own, words, message, capfd):
    text = said(capfd, "questions", *(str(own[1]) if word == "FILE" else word for word in words), code=1)
    assert message in text and len(text.strip().splitlines()) == 1


def test_duplicates_are_those_that_share_their_words():
    base = [f"word{number}" for number in range(200)]
    texts = {
        "base": " ".join(base), "again": " ".join(base).upper() + "\n", "other": " ".join(reversed(base)),
        "one word changed": " ".join([*base[:90], "x", *base[91:]]), "part": " ".join(base[50:150]),
        "half": " ".join([*base[:100], *(f"new{number}" for number in range(100))]), "short": "word1 word2", "none": "",
    }
    shingles = Shingles()
    for name, text in texts.items():
        shingles.add(name, text)
    assert [str(one) for one in shingles.duplicates()] == [
        "base and again hold the same text",
        "part stands within base (100% of it)",
        "base and one word changed are nearly the same (95% of both together)",
    ]


def test_documents_have_the_names_and_the_text_that_a_run_gives_them(own, tmp_path):
    skipped: list[str] = []
    found = documents_of(Files(path=str(own[0])), skipped)
    assert len(found) == 30 and not skipped
    assert dict(found)[f"{own[0]}/dues.md"] == (own[0] / "dues.md").read_text().strip()
