"""Claims of absence and refusals in seven languages, on a list of our own sentences; and when a value outweighs one."""

import re

import pytest

from benchmarks.absence import LISTS, outcomes, recall_and_precision
from niah import languages
from niah.records import Outcome, Problem
from niah.scorers.claims_absence import ClaimsAbsence, claims_absence
from niah.scorers.contains import Contains
from niah.scorers.outcome import hangs_on_question, judge

LINES = outcomes()
EN = languages.load("en")
LISBON = EN["keyed"]["number"]["question"].replace("{key}", "Lisbon")
NOTHING = Problem((), LISBON, (EN["absent"]["claim"], *EN["absent"]["phrases"]))


@pytest.mark.parametrize("code", languages.CODES)
def test_each_language_reaches_the_recall_and_precision(code):
    own = [line for line in LINES if line[0] == code]
    assert len(own) >= 60
    recall, precision, _ = recall_and_precision(own, "absent-claimed")
    assert recall >= 0.95 and precision >= 0.98
    recall, precision, _ = recall_and_precision(own, "refused")
    assert recall >= 0.9 and precision >= 0.98


def test_natural_phrasings_are_told():
    said = (LISTS / "natural.txt").read_text(encoding="utf-8").splitlines()
    assert len(said) == 23 and [one for one in said if not claims_absence(one)] == []


@pytest.mark.parametrize("code", languages.CODES)
def test_patterns_hold_their_word_borders(code):
    for patterns in languages.load(code)["speech"].values():
        for pattern in patterns:
            re.compile(pattern)
            bare = re.sub(r"\\.|\[[^\]]*\]", "", pattern)
            while (less := re.sub(r"\([^()]*\)", "", bare)) != bare:
                bare = less
            assert not pattern.startswith(r"\b") or "|" not in bare, pattern


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("Not mentioned.", "correct"), ("I do not know.", "correct"), ("The text does not say.", "correct"),
        ("There is no number for Lisbon; Oslo's is 1234567.", "correct"),
        ("The special magic number for Oslo is 1234567. None is given for Lisbon.", "correct"),
        ("The text does not mention Oslo's number, but Lisbon's is 4829173.", "wrong"),
        ("The number 1234567 is given for Oslo, so the number for Lisbon is 1234567. There was no mention of others.",
         "wrong"),
        ("4829173", "wrong"), ("It is not stated, but it is probably 4829173.", "wrong"), ("umbrella", "wrong"),
        ("I'm sorry, but I can't help with that.", "refused"), (LISBON, "wrong"),
        (f"{LISBON} If the text above does not say, answer only: not mentioned.", "wrong"),
    ],
)
def test_where_nothing_is(said, outcome):
    assert judge(said, NOTHING, ClaimsAbsence(), "stop")[1].value == outcome


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("4829173", "4829173"), ("The special magic number for Lisbon is 4829173.", "4829173"),
        ("Umbrella.", "umbrella"),
        ("The special magic word for Lisbon is sunshine.", "sunshine"),
        ("What is the special magic number for Lisbon?", ""),
        ("Here is a summary of all that the author says about founders and their plans", ""), ("", ""),
    ],
)
def test_a_false_alarm_names_a_value(said, named):
    score, outcome = judge(said, NOTHING, ClaimsAbsence(), "stop")
    assert (outcome, score.answer) == (Outcome.WRONG, named)


def test_decoys_are_known_by_their_values():
    question = "What is the special magic word for Lisbon?"
    words = Problem((), question, ("not mentioned",), distractors=("glockenspiel",))
    for said, outcome in (
        ("Oslo's is glockenspiel; Lisbon's is not mentioned.", Outcome.CORRECT),
        ("It is not quite stated, but Lisbon's is glockenspiel.", Outcome.WRONG),
    ):
        assert judge(said, words, ClaimsAbsence(), "stop")[1] is outcome


def test_the_question_decides_between_two_entities_and_is_kept():
    said = "The text does not mention Oslo's number, but Lisbon's is 4829173."
    oslo = Problem((), LISBON.replace("Lisbon", "Oslo"), ("9999999",))
    lisbon = Problem((), LISBON, ("9999999",))
    assert judge(said, oslo, Contains(), "stop")[1] is Outcome.ABSENT_CLAIMED
    assert judge(said, lisbon, Contains(), "stop")[1] is Outcome.WRONG
    assert hangs_on_question(said, lisbon, Contains()) and not hangs_on_question("I do not know.", lisbon, Contains())
    assert not hangs_on_question("It is 9999999.", lisbon, Contains())  # a right answer hangs on nothing
    pair = Problem((), "What is the special magic number for flimsy-dog?", ("9999999",))
    said = "None for flimsy-dog, but sunny-cat has 4829173."
    assert judge(said, pair, Contains(), "stop")[1] is Outcome.ABSENT_CLAIMED
    said = "None for sunny-cat, but flimsy-dog has 4829173."
    assert judge(said, pair, Contains(), "stop")[1] is Outcome.WRONG


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("I'm sorry, I cannot share it. It is 4829173.", "correct"),
        ("It is not mentioned? No: it is 4829173.", "correct"),
        ("I can't reveal that, as it is not mentioned in the text.", "absent-claimed"), ("I'm sorry.", "refused"),
        ("I can’t help with that.", "refused"), ("Sorry for the delay, it is 1111111.", "wrong"),
        ("I don't know why, but it is 1111111.", "wrong"),
    ],
)
def test_right_answers_come_before_absence_and_that_before_refusal(said, outcome):
    assert judge(said, Problem((), LISBON, ("4829173",)), Contains(), "stop")[1].value == outcome


UUID = "8f3b2c1a-44d0-4e6f-9a3c-0123456789ab"


@pytest.mark.parametrize(
    ("said", "finish", "outcome"),
    [
        (f"The special magic UUID for Lisbon is {UUID[:20]}", "length", "truncated"),
        (UUID[:35], "length", "truncated"),
        (f"**{UUID[:9]}".replace("-", "\u2011"), "length", "truncated"), (UUID[:20], "stop", "wrong"),
        (UUID, "length", "correct"),
        ("The special magic UUID for Lisbon is", "length", "truncated"),
        ("The special magic UUID for Lisbon is", "stop", "wrong"),
        ("It is 11111111-2222-4333-8444-5555", "length", "wrong"), ("It is 8", "length", "wrong"),
        ("It is 11111111-2222-4333-8444-555566667777 and", "length", "wrong"),
        ("la UUID mágica especial de Lisboa es", "length", "truncated"), ("里斯本的神奇UUID是", "length", "truncated"),
        ("I do not know the answer and", "length", "absent-claimed"),
    ],
)
def test_an_answer_that_was_begun_is_truncated(said, finish, outcome):
    assert judge(said, Problem((), LISBON, (UUID,)), Contains(), finish)[1].value == outcome
    assert judge(said, Problem((), LISBON, (UUID,)), Contains(whole_words=False), finish)[1].value == outcome


def test_some_of_several_answers_and_the_next_begun():
    two = Problem((), "", ("4829173", "7654321"))
    score, outcome = judge("They are 4829173 and 7654", two, Contains(), "length")
    assert (score.value, outcome) == (0.5, Outcome.TRUNCATED)


@pytest.mark.parametrize(
    ("said", "asked", "unasked"),
    [
        ("The author wrote about a missing notebook and a friend who did not answer.", "wrong", "absent-claimed"),
        ("The document ends before any number for Lisbon is given.", "absent-claimed", "wrong"),
        ("Only Oslo's is given: 1234567.", "absent-claimed", "wrong"),
        ("The text does not mention Oslo's number.", "wrong", "absent-claimed"),
        ("It is not mentioned.", "absent-claimed", "absent-claimed"),
    ],
)
def test_a_known_question_tells_more_than_phrases(said, asked, unasked):
    known, unknown = Problem((), LISBON, ("9999999",)), Problem((), "", ("9999999",))
    assert judge(said, known, Contains(), "stop")[1].value == asked
    assert judge(said, unknown, Contains(), "stop")[1].value == unasked
    assert hangs_on_question(said, known, Contains()) is (asked != unasked)


@pytest.mark.parametrize(
    ("question", "said", "outcome"),
    [
        ("Which character lives in the capital of Germany?", "No character is said to live in Germany's capital.",
         "absent-claimed"),
        ("Which character lives in the capital of Germany?", "Anna does not eat meat, Bo never sleeps.", "wrong"),
        ("Where is Mary?", "Mary's whereabouts are not given.", "absent-claimed"),
        ("哪个人物住在德国首都？", "文中没有人物住在德国首都。", "absent-claimed"),
        ("What is the special magic word for Lisbon?", "There is no word on Lisbon.", "absent-claimed"),
        ("What is the special magic number for flimsy-dog?", "There is nothing for flimsy-dog.", "absent-claimed"),
        (languages.load("es")["keyed"]["number"]["question"].replace("{key}", "Lisboa"),
         "The text does not mention a number for Lisbon.", "absent-claimed"),
    ],
)
def test_other_questions_and_other_languages(question, said, outcome):
    assert judge(said, Problem((), question, ("9999999",)), Contains(), "stop")[1].value == outcome


def test_a_phrase_of_ones_own_counts_in_any_language():
    problem = Problem((), "Quel est le nombre pour Lisbonne ?", ("pas mentionné", "언급 없음"))
    for said in ("Le nombre pour Lisbonne n'est pas mentionné dans ce que vous m'avez donné.", "리스본은 언급 없음"):
        assert judge(said, problem, ClaimsAbsence(), "stop")[1] is Outcome.CORRECT


@pytest.mark.parametrize("code", languages.CODES)
def test_no_word_stands_twice_in_a_kind(code):
    for kind, words in languages.load(code)["clause"].items():
        if isinstance(words, str):
            assert len(set(words.split())) == len(words.split()), kind
