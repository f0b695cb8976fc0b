import pytest

from niah import languages
from niah.records import Outcome, Problem
from niah.scorers.any_of import AnyOf
from niah.scorers.claims_absence import ClaimsAbsence
from niah.scorers.contains import Contains
from niah.scorers.exact import Exact
from niah.scorers.number import Number
from niah.scorers.only import Only
from niah.scorers.ordered import Ordered
from niah.scorers.outcome import judge


@pytest.mark.parametrize(
    ("response", "targets", "value"),
    [
        ("The word is Umbrella.", ["umbrella"], 1), ("umbrellas", ["umbrella"], 0), ("start", ["art"], 0),
        ("it is 4827163", ["4827163"], 1), ("it is 14827163", ["4827163"], 0), ("red and blue", ["red", "blue"], 1),
        ("only red", ["red", "blue"], 0.5), ("答案是蓝色大象。", ["蓝色大象"], 1), ("", ["x"], 0), ("C++!", ["c++"], 1),
        ("5f0c-aa", ["5F0C-AA"], 1), ("里斯本的神奇数字是1234567。", ["1234567"], 1),
        ("数字は1234567です", ["1234567"], 1),
        ("数字は11234567です", ["1234567"], 0), ("هي لشبونة وأوسلو", ["أوسلو"], 1), ("هي والقاهرة", ["القاهرة"], 1),
        ("شمسية", ["شمس"], 0),
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
    [
        ("1234567", 1), ("It is 1,234,567.", 1), ("first 99, then 1 234 567", 1), ("1234567 of 8", 0), ("none", 0),
        ("-1234567", 0),
    ],
)
def test_number(response, value):
    assert Number().score(response, ["1234567"]).value == value


@pytest.mark.parametrize(
    ("response", "finish", "outcome"),
    [
        ("It is umbrella", "stop", Outcome.CORRECT), ("It is umbrella and", "length", Outcome.CORRECT),
        ("It is a violin", "stop", Outcome.WRONG), ("It is a violin and", "length", Outcome.WRONG),
        ("<think>umbrella? let me", "length", Outcome.TRUNCATED), ("", "length", Outcome.TRUNCATED),
        ("", "stop", Outcome.WRONG), ("The text does not mention a magic word.", "stop", Outcome.ABSENT_CLAIMED),
        ("文中没有提到。", "stop", Outcome.ABSENT_CLAIMED),
        ("資料に記載なし", "stop", Outcome.ABSENT_CLAIMED), ("Das wird nicht erwähnt.", "stop", Outcome.ABSENT_CLAIMED),
        ("The word is not explicitly mentioned in it.", "stop", Outcome.ABSENT_CLAIMED),
        ("I'm sorry, but I cannot help with that.", "stop", Outcome.REFUSED),
        ("<think>umbrella</think>violin", "stop", Outcome.WRONG),
        ("It is not mentioned, but perhaps umbrella", "stop", Outcome.CORRECT),
    ],
)
def test_outcomes(response, finish, outcome):
    assert judge(response, Problem((), "", ("umbrella",)), Contains(), finish)[1] is outcome


def test_only_answers_are_answers():
    assert [o.value for o in Outcome if not o.is_answer] == ["does-not-fit", "out-of-memory", "engine-error"]


def test_any_of_takes_one_of_several_names():
    assert AnyOf().score("It was Denver.", ["Denver, Colorado", "Denver"]).value == 1
    assert AnyOf().score("It was Dover.", ["Denver"]).value == 0
    assert AnyOf(whole_words=False).score("Denverites", ["Denver"]).value == 1


@pytest.mark.parametrize(
    ("response", "value"),
    [("It is 1111111.", 1), ("It is 2222222.", 0), ("It was 2222222, now 1111111.", 0), ("I do not know.", 0)],
)
def test_only_refuses_a_hedge(response, value):
    assert Only().score(response, ["1111111"], ["2222222"]).value == value


@pytest.mark.parametrize(
    ("response", "value"),
    [
        ("Oslo, Lima, Cairo and Riga", 1), ("Lima, Oslo, Cairo, Riga", 0.75), ("Riga, Cairo, Lima, Oslo", 0.25),
        ("Oslo and Riga", 0.5), ("", 0),
    ],
)
def test_ordered_is_the_longest_ascending_run(response, value):
    assert Ordered().score(response, ["Oslo", "Lima", "Cairo", "Riga"]).value == value


@pytest.mark.parametrize("code", languages.CODES)
def test_absence_is_understood_in_every_language(code):
    own = languages.load(code)["absent"]
    for said in (own["claim"], own["claim"].upper() + ".", f"({own['phrases'][3]})"):
        assert ClaimsAbsence().score(said, [own["claim"], *own["phrases"]]).value == 1
    assert ClaimsAbsence().score("1234567", [own["claim"], *own["phrases"]]).value == 0


def test_a_value_where_nothing_is_is_a_false_alarm():
    nothing = Problem((), "", ("not mentioned",))
    assert judge("Not mentioned.", nothing, ClaimsAbsence(), "stop")[1] is Outcome.CORRECT
    assert judge("1234567.", nothing, ClaimsAbsence(), "stop")[1] is Outcome.WRONG
