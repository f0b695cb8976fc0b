import pytest

from niah.records import Outcome
from niah.scorers.contains import Contains
from niah.scorers.exact import Exact
from niah.scorers.number import Number
from niah.scorers.outcome import judge, without_thinking


@pytest.mark.parametrize(
    ("response", "targets", "value"),
    [
        ("The word is Umbrella.", ["umbrella"], 1), ("umbrellas", ["umbrella"], 0), ("start", ["art"], 0),
        ("it is 4827163", ["4827163"], 1), ("it is 14827163", ["4827163"], 0), ("red and blue", ["red", "blue"], 1),
        ("only red", ["red", "blue"], 0.5), ("答案是蓝色大象。", ["蓝色大象"], 1), ("", ["x"], 0), ("C++!", ["c++"], 1),
        ("5f0c-aa", ["5F0C-AA"], 1),
    ],
)
def test_contains(response, targets, value):
    assert Contains().score(response, targets).value == value


def test_contains_as_ruler_has_it():
    assert Contains(whole_words=False).score("umbrellas", ["umbrella"]).value == 1


@pytest.mark.parametrize(
    ("response", "value"), [("Umbrella.", 1), (" **umbrella**\nmore", 1), ("The umbrella", 0), ("", 0)]
)
def test_exact(response, value):
    assert Exact().score(response, ["umbrella"]).value == value


@pytest.mark.parametrize(
    ("response", "value"),
    [("1234567", 1), ("It is 1,234,567.", 1), ("first 99, then 1 234 567", 1), ("1234567 of 8", 0), ("none", 0), ("-1234567", 0)],
)
def test_number(response, value):
    assert Number().score(response, ["1234567"]).value == value


@pytest.mark.parametrize(
    ("response", "rest", "is_open"),
    [
        ("<think>the word is x</think> y", "y", False), ("opened in the prompt</think>y", "y", False),
        ("<think>never done", "", True), ("plain", "plain", False), ("a <think>b</think><think>c", "a", True),
    ],
)
def test_thinking_is_cut(response, rest, is_open):
    assert without_thinking(response) == (rest, is_open)


@pytest.mark.parametrize(
    ("response", "finish", "outcome"),
    [
        ("It is umbrella", "stop", Outcome.CORRECT), ("It is umbrella and", "length", Outcome.CORRECT),
        ("It is a violin", "stop", Outcome.WRONG), ("It is a violin and", "length", Outcome.WRONG),
        ("<think>umbrella? let me", "length", Outcome.TRUNCATED), ("", "length", Outcome.TRUNCATED), ("", "stop", Outcome.WRONG),
        ("The text does not mention a magic word.", "stop", Outcome.ABSENT_CLAIMED), ("文中没有提到。", "stop", Outcome.ABSENT_CLAIMED),
        ("The word is not explicitly mentioned in it.", "stop", Outcome.ABSENT_CLAIMED),
        ("I'm sorry, but I cannot help with that.", "stop", Outcome.REFUSED),
        ("<think>umbrella</think>violin", "stop", Outcome.WRONG),
        ("It is not mentioned, but perhaps umbrella", "stop", Outcome.CORRECT),
    ],
)
def test_outcomes(response, finish, outcome):
    assert judge(response, ["umbrella"], Contains(), finish)[1] is outcome


def test_only_answers_are_answers():
    assert [o.value for o in Outcome if not o.is_answer] == ["does-not-fit", "out-of-memory", "engine-error"]
