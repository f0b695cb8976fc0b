"""Paragraphs of HotpotQA and SQuAD, and the questions whose answers are in one half of them."""

import json

import pytest

from niah.errors import NiahError
from niah.haystacks import wikipedia
from niah.haystacks.wikipedia import Wikipedia, half_of
from tests.helpers.sources import read, refused


def test_wikipedia_has_every_paragraph_once():
    documents = read(Wikipedia())
    assert len(documents) == len(set(documents)) == 66_635 + 1_204
    assert 37e6 < sum(map(len, documents)) < 39e6
    halves = {half: read(Wikipedia(half=half)) for half in ("even", "odd")}
    assert sorted(halves["even"] + halves["odd"]) == sorted(documents)
    assert all(0.48 < len(half) / len(documents) < 0.52 for half in halves.values())
    title = documents[0].partition("\n")[0]
    assert half_of(title) == half_of(documents[0])
    with pytest.raises(NiahError, match="half"):
        Wikipedia(half="both")
    with pytest.raises(NiahError, match="parts"):
        Wikipedia(parts=["hotpotqa", "books"])


@pytest.mark.parametrize(("part", "num_gold"), [("squad", {1}), ("hotpotqa", {2})])
def test_questions_of_one_half_are_not_answered_in_the_other(part, num_gold):
    asked = wikipedia.questions(part)
    assert len(asked) > 1500 and {len(question.gold) for question in asked} == num_gold
    even = set(read(Wikipedia(half="even", parts=[part])))
    assert not any(gold in even for question in asked for gold in question.gold)
    whole = set(read(Wikipedia(parts=[part])))
    assert all(gold in whole for question in asked for gold in question.gold)


def test_wikipedia_of_a_folder(tmp_path):
    source = Wikipedia(path=str(tmp_path))
    refused(source, "no such file", "hotpotqa.json")
    (tmp_path / "hotpotqa.json").write_text(json.dumps([{"context": [["A", ["B.", " C."]], ["A", ["B.", " C."]]]}]))
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "D."}]}]}))
    assert read(source) == ["A\nB. C.", "D."]
    before = source.identity()
    (tmp_path / "squad.json").write_text(json.dumps([1]))
    refused(source, "not RULER's squad.json")
    (tmp_path / "squad.json").write_text("{")
    assert source.identity() != before  # which reads no text, so it does not see what is wrong with it
