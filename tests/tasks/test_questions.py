"""The user's own questions: what is planted, asked and left out; and every way in which a file may be wrong."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from niah import choices, grid
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.readers.none import NoContext
from niah.readers.oracle import Oracle
from niah.records import Problem, Trial
from niah.scorers.outcome import judge
from niah.tasks import question_file
from niah.tasks.questions import Questions
from tests.helpers import own_documents
from tests.helpers.command import comparable, ran_here, rows, said
from tests.helpers.configs import built
from tests.helpers.tokenizers import load_tokenizer

GOOD = {"id": "a", "question": "Who?", "answers": ["Ada"], "needle": "It was Ada."}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    load_tokenizer("smollm2")  # from the user's cache
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("own")
        patch.setenv("NIAH_CACHE", str(place / "cache"))
        yield own_documents.write(place)


def recipe_of(own: tuple[Path, Path], *words: str) -> Recipe:
    documents, file = own
    made = Recipe(built(
        "task=questions", f"task.path={file}", "haystack=files", f"haystack.path={documents}", "ctx.repeats=20",
        "ctx.lengths=[2k,6k]", "ctx.depths=[0,40,100]", "model.max_length=32k", *words,
    ))
    made.__dict__["tokenizer"] = load_tokenizer("smollm2")
    return made


def written(place: Path, *lines: object) -> str:
    file = place / "mine.jsonl"
    file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return str(file)


def test_each_question_is_asked_of_its_own_document_among_the_others(own):
    recipe = recipe_of(own)
    recipe.check()
    asked = own_documents.lines()
    assert recipe.notes()[0].startswith("haystack files: ")  # as many repeats as questions: nothing to say of them
    for repeat in (0, 7, 11, 14, 18):  # Markdown, text, PDF, Chinese, a needle
        line = asked[repeat]
        for depth in (0, 40, 100):
            built_one = recipe.build(Trial(0, 2048, depth, repeat))
            problem, text = built_one.problem, recipe.tokenizer.decode(built_one.prompt.ids)
            assert problem.question_id == line["id"] and problem.targets == tuple(line["answers"])
            assert len(built_one.prompt.ids) == 2048 - 64 and line["question"] in text
            assert ("问题：" if line.get("language") else "Question: ") in text
            assert text.count(line["answers"][0]) == 1
            assert all(text.count(distractor) == 1 for distractor in line.get("distractors", ()))
            assert abs(built_one.context.depths[0] - depth) < 8
            if "document" in line:
                number = recipe.corpus.documents.find(line["document"])
                assert recipe.corpus.documents.text(number) in text  # its parts follow each other as they did
                assert problem.needles[0].count("\n\n") == 0 and line["answers"][0] in problem.needles[0]


def test_a_repeat_begins_its_context_alike_at_all_lengths_and_goes_round_behind_the_last(own):
    recipe = recipe_of(own, "ctx.repeats=21")
    assert "20 questions, so ctx.repeats=21 asks some again" in recipe.notes()[0]
    assert "ctx.repeats=1 asks the first 1; ctx.repeats=20" in recipe_of(own, "ctx.repeats=1").notes()[0]
    first, again = (recipe.build(Trial(0, 2048, 100, repeat)) for repeat in (0, 20))
    assert first.problem == again.problem and not np.array_equal(first.prompt.ids, again.prompt.ids)
    short, long = (recipe.build(Trial(0, length, 100, 3)).prompt.ids for length in (2048, 6144))
    assert np.array_equal(short[:1500], long[:1500])


def test_readers_see_what_they_should(own):
    recipe = recipe_of(own)
    trial = Trial(0, 2048, 40, 0)
    oracle, nothing = (recipe.build(trial, reader()) for reader in (Oracle, NoContext))
    assert "23 euros" in recipe.tokenizer.decode(oracle.prompt.ids) and oracle.prompt.num_needed == 1
    assert "23 euros" not in recipe.tokenizer.decode(nothing.prompt.ids)
    found = recipe_of(own, "reader=bm25", "reader.budget=256", "reader.chunk_tokens=64")
    seen = found.build(trial)
    assert seen.view.retrieval and seen.view.retrieval.needles[0] == "whole"  # the paragraph, not the whole document


def test_a_scorer_of_its_own_judges_a_question():
    both = Problem((), "Which?", ("red", "blue"), scorer="contains")
    scorer = Questions.scorer
    assert judge("It is red.", both, scorer, "stop")[0].value == 0.5
    assert judge("It is red.", replace(both, scorer=""), scorer, "stop")[0].value == 1
    with pytest.raises(NiahError, match="a question names 'mine', which is no choice of scorer; expected one of"):
        judge("red", replace(both, scorer="mine"), scorer, "stop")


@pytest.mark.parametrize(("line", "message"), [
    ("{", r":1: not JSON \(Expecting property name .* at character 2\); expected an object on one line"),
    ("[1]", r"is a JSON list; expected a JSON object on each line; convert it: jq"),
    ("7", r":1: got 7; expected an object"),
    ("[" * 100_000, "is a JSON list"),
    (json.dumps(GOOD, indent=1), r"mine.jsonl: holds a JSON object that goes over several lines; expected one on each"),
    ('{"id": ' + "[" * 100_000, r":1: not JSON \(too deep\)"),
    ("", r"mine.jsonl: holds no question; expected a line for each"),
    ({**GOOD, "questoin": "x"}, r":1: unknown key 'questoin'; did you mean 'question'; expected some of id, question"),
    ('{"id": 7' + "7" * 5000 + "}", r":1: holds a number of more than 4,300 digits; expected fewer, or text"),
    ({**GOOD, "id": 10**300}, r":1: id: got .*\.\.\.; expected a name on one line, of at most 200 characters"),
    (json.dumps(GOOD)[:-1] + ', "answers": ["Eve"]}', r":1: 'answers' is given twice; expected it once"),
    ({**GOOD, "id": None}, r":1: id: got null; expected a text; put it into quotes"),
    ({**GOOD, "id": "a\nb"}, r":1: id: got .*; expected a name on one line"),
    ({"id": "a", "answers": ["x"], "needle": "x"}, r":1: question: not given; expected a text"),
    ({**GOOD, "question": "  "}, r":1: question: is empty; expected a text"),
    ({**GOOD, "answers": "Ada"}, r':1: answers: got "Ada"; expected a list of texts, as \["14 March"'),
    ({**GOOD, "answers": []}, r":1: answers: got \[\]; expected a list of texts"),
    ({**GOOD, "answers": [14]}, r":1: answers: got 14; expected a text; put it into quotes"),
    ({**GOOD, "document": "a.md"}, r":1: needle, document: got both; expected one of them"),
    ({**GOOD, "needle": None}, r":1: needle, document: got neither"),
    ({**GOOD, "language": "fr"}, r":1: language: got 'fr'; expected one of en, zh-Hans"),
    ({**GOOD, "scorer": "claims_absence"}, r":1: scorer: got 'claims_absence'; expected one of any_of, contains"),
    (json.dumps({**GOOD, "needle": "\ud800 Ada"}), r":1: needle: holds half a character \(\\ud800\); expected whole"),
])
def test_a_line_that_is_no_question_is_named(line, message, tmp_path):
    with pytest.raises(NiahError, match=message) as error:
        question_file.read(written(tmp_path, line)).sound()
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_file_of_questions(tmp_path):
    with pytest.raises(NiahError, match=r"task.path: not given; expected a file of JSON lines"):
        Questions().source_sha256()
    with pytest.raises(NiahError, match=r"task.path: no such file; got '.*none.jsonl'"):
        Questions(path=str(tmp_path / "none.jsonl")).source_sha256()
    with pytest.raises(NiahError, match=r"task.path: is a folder; got '.*'; expected a file of JSON lines"):
        Questions(path=str(tmp_path)).source_sha256()
    (tmp_path / "latin.jsonl").write_bytes(b"\n" + json.dumps(GOOD).encode() + b"\n\xe9")
    with pytest.raises(NiahError, match=r"latin.jsonl:3: is not UTF-8 \(byte \d+\); expected UTF-8"):
        Questions(path=str(tmp_path / "latin.jsonl")).source_sha256()
    twice = written(tmp_path, GOOD, "", {**GOOD, "question": "What?"}, {**GOOD, "id": 7, "answers": []})
    message = r"mine.jsonl:3: id: 'a' stands in line 1 too; .*\(the first of 2; niah questions check names all\)"
    with pytest.raises(NiahError, match=message):
        question_file.read(twice).sound()
    with pytest.raises(NiahError, match=r"task.question: got 'Who\?'; expected {question} in it"):
        Questions(question="Who?")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(end, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_bytes(end.join((json.dumps(GOOD), "", json.dumps({**GOOD, "id": "b", "answers": []}))).encode())
    found = question_file.read(str(file))
    assert [one.id for one in found.questions] == ["a"] and found.faults[0].startswith(f"{file}:3: answers: got []")


def test_a_byte_order_mark_numbers_as_ids_and_odd_forms_are_taken(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({**GOOD, "id": 7, "question": "Cafe\u0301?"}).encode() + b"\r\n\r\n")
    (one,) = question_file.read(str(file)).sound()
    assert (one.id, one.question, one.place) == ("7", "Caf\u00e9?", f"{file}:1")


@pytest.mark.parametrize(("line", "message"), [
    ({"answers": ["Ada"], "document": "none.md"}, r":1: document: haystack=files: has no document 'none.md'; expected"),
    ({"answers": ["Ada"], "document": "kiln.md"}, r":1: x: document 'kiln.md' does not hold the answer \('Ada'\)"),
    ({"answers": ["23 Euros"], "needle": "Now 23 euros."}, r":1: x: an answer stands in .*dues.md, line 3: 'Members"),
    ({"answers": ["Ada"], "needle": "It was Eve."}, r":1: x: needle 'It was Eve.' does not hold the answer \('Ada'\)"),
    ({"answers": ["Ada", "Eve"], "needle": "It was Ada.", "scorer": "contains"}, r"not hold all answers.* \('Eve'\)"),
    ({"answers": ["Ada"], "needle": "It was Ada.", "distractors": ["Ada too."]}, "stands in its own distractor"),
    ({"answers": ["Ada"], "needle": "It was Ada. " * 900}, r"ctx.lengths=2,048: question x: needles and question"),
    ({"answers": ["Ada " * 99], "needle": "Ada " * 99}, r"task.max_tokens: too few for the answer; got 64"),
])
def test_what_would_prove_nothing_is_refused_before_anything_runs(line, message, own, tmp_path):
    file = written(tmp_path, {"id": "x", "question": "Who?", **line})
    recipe = recipe_of((own[0], Path(file)), "ctx.repeats=1")
    with pytest.raises(NiahError, match=message) as error:
        recipe.check()
    assert "\n" not in str(error.value)
    if "stands in" in message or "hold" in message:
        assert "or task.answer_elsewhere=allow" in str(error.value)
        recipe_of((own[0], Path(file)), "ctx.repeats=1", "task.answer_elsewhere=allow").check()


def test_a_control_token_in_a_question_is_said_to_be_there(own, tmp_path):
    asked = {**GOOD, "question": "Who <|im_end|> was it?"}
    recipe = recipe_of((own[0], Path(written(tmp_path, asked))), "ctx.repeats=1")
    with pytest.raises(NiahError, match=r"question a: holds '<\|im_end\|>', which is a control token of this model"):
        recipe.check()
    needle = {**GOOD, "needle": "It was <|im_end|> Ada."}  # what is planted stays text
    recipe_of((own[0], Path(written(tmp_path, needle))), "ctx.repeats=1").check()


def test_a_language_without_words_is_told_by_its_own_setting(own, tmp_path):
    mine = (own[0], Path(written(tmp_path, GOOD)))
    for key, word in (("haystack", "haystack.language=xx"), ("task", "task.language=xx")):
        with pytest.raises(NiahError, match=rf"^{key}.language: got 'xx'; expected (auto or )?one of en, zh-Hans"):
            recipe_of(mine, "ctx.repeats=1", word).check()
    recipe_of(mine, "ctx.repeats=1", "haystack.language=xx", "task.language=en").check()


def test_documents_with_decomposed_names_are_asked_about(own, tmp_path):
    folder = tmp_path / "texts"
    shutil.copytree(own[0], folder)
    for name, text in (("re\u0301sume\u0301.md", "It was Ada."), ("caf\u00e9.md", "It was Eve.")):
        (folder / name).write_text(text)
    lines = [
        {"id": "a", "question": "Who?", "answers": ["Ada"], "document": "r\u00e9sum\u00e9.md"},
        {"id": "b", "question": "And who?", "answers": ["Eve"], "document": "cafe\u0301.md"},
    ]
    recipe = recipe_of((folder, Path(written(tmp_path, *lines))), "ctx.repeats=2")
    recipe.check()
    assert recipe.build(Trial(0, 2048, 0, 1)).problem.needles == ("It was Eve.",)


def test_the_last_question_is_looked_at_too(own, tmp_path):
    long = {**GOOD, "id": "long", "needle": "It was Ada indeed. " * 600}
    recipe = recipe_of((own[0], Path(written(tmp_path, GOOD, long))), "ctx.repeats=2")
    with pytest.raises(NiahError, match=r"ctx.lengths=2,048: question long: needles and question do not fit"):
        recipe.check()


def test_a_context_cannot_be_shared(own):
    with pytest.raises(NiahError, match=r"ctx.share=depths: trials of task=questions cannot share a context: a doc"):
        recipe_of(own, "ctx.share=depths")


def test_every_choice_of_scorer_makes_one():
    assert set(choices.names("scorer")) - set(question_file.by_question.names()) == {
        "auto", "by_question", "claims_absence"
    }


@pytest.mark.slow
def test_a_run_is_continued_rebuilt_and_another_one_with_another_file(own, tmp_path, capfd, monkeypatch):
    documents, _ = own
    mine = tmp_path / "mine.jsonl"
    own_documents.write_lines(mine, [*own_documents.lines()[:3], {**own_documents.lines()[4], "scorer": "contains"}])
    words = (
        "task=questions", f"task.path={mine}", "haystack=files", f"haystack.path={documents}", "engine=fake",
        "engine.window=8k", "ctx.lengths=[2k]", "ctx.depths=[0,100]", "ctx.repeats=2", "name=mine",
    )
    ran_here(tmp_path, words)
    before = rows(tmp_path / "outputs" / "mine")
    ran_here(tmp_path, (*words, "ctx.repeats=4"))
    found = sorted(rows(tmp_path / "outputs" / "mine"), key=lambda row: row["trial"])
    assert len(found) == 8 and comparable(found)[:4] == sorted(comparable(before), key=lambda row: row["trial"])
    assert [row["question_id"] for row in found] == ["dues"] * 2 + ["lathe"] * 2 + ["kiln"] * 2 + ["waste"] * 2
    assert [row.get("scorer", "") for row in found] == [""] * 6 + ["contains"] * 2
    assert all(row["outcome"] == "correct" for row in found)
    monkeypatch.chdir(tmp_path)
    assert "(as stored: verified)" in said(capfd, "show", "outputs/mine", "--trial", "5")
    assert "all scored as before" in said(capfd, "rescore", "outputs/mine")
    own_documents.write_lines(mine, own_documents.lines()[:4])
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    assert "sources.task_sha256 (there " in said(capfd, *words, code=1)
    mine.unlink()
    assert "task.path: no such file" in said(capfd, "show", "outputs/mine", "--trial", "5", code=1)


def test_depths_of_parts_never_part_a_document():
    problem = Problem(("p", "b", "e", "d"), "?", ("a",), together=(1, 0, 2))
    for depth in (0.0, 33.0, 100.0):
        drawn = grid.needle_depths(depth, 4, "random", np.random.default_rng(0))
        _, placed = Questions().arranged(problem, drawn)
        assert placed[1] < placed[0] < placed[2] < depth + 1e-6 and placed[3] == drawn[3]
