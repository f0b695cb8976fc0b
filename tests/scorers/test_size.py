"""A long response is judged in time that grows as its length: no rule looks for something from every place anew.

What grows squared takes hours for a megabyte, and the suite's limit on a test ends it.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from niah.records import Problem
from niah.scorers.any_of import AnyOf
from niah.scorers.claims_absence import ClaimsAbsence
from niah.scorers.contains import Contains
from niah.scorers.copied import Copied
from niah.scorers.exact import Exact
from niah.scorers.node_set import NodeSet
from niah.scorers.number import Number
from niah.scorers.only import Only
from niah.scorers.ordered import Ordered
from niah.scorers.outcome import judge
from niah.scorers.parts import Parts
from niah.scorers.recited import Recited
from niah.scorers.tally import Tally

SCORERS = (
    Contains(), Contains(whole_words=False), AnyOf(), ClaimsAbsence(), Exact(), Number(), Only(), Ordered(), Parts(),
    NodeSet(), NodeSet(published=True), Recited(), Recited(prefix_length=0), Copied(), Copied(measure="similarity"),
    Tally(),
)
PROBLEM = Problem(
    (), "What is the special magic number for Lisbon?", ("4829173", "aaa and a"), distractors=("1234567",)
)
ATOMS = (
    "a", "1", " ", "1 ", "1,", "123,", "*", "_", "-", "\\", "{,}", "<b>", "&amp;", "not ", "no mention of ",
    "the text does not ", "it is not ", "Der Text nennt keine ", "kann ich nicht ", "no se menciona ",
    "ningún ", "没有",
    "文中没有", "書かれて", "は", "わかり", "لم ", "لا يوجد ", "I cannot ", "4829173", "\n", ". ", "is ", "is 12345 ",
    "one ", "twenty-", "e\u0301", "\u200b", "٤", "if ", "aaaa-", "Lisbon ", "\ud800", "\x00", "(", "<think>", "```",
    "[", "[a, ", "]", "Final Answer: [", "{\"a\": ",
    "not stated, ", "里斯本没有,",
)


def check(said: str, finish: str = "length") -> None:
    for scorer in SCORERS:
        score, _ = judge(said, PROBLEM, scorer, finish)
        assert 0 <= score.value <= 1


@pytest.mark.parametrize("atom", ATOMS)
def test_the_same_again_and_again(atom):
    check(atom * (2**13 // len(atom)))


@pytest.mark.slow
@pytest.mark.parametrize("atom", ATOMS)
def test_a_megabyte_of_the_same(atom):
    check(atom * (2**20 // len(atom)))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(ATOMS) | st.text(max_size=8), max_size=60).map("".join),
    st.sampled_from(("stop", "length", "content_filter")),
)
def test_nothing_that_is_said_stops_the_scoring(said, finish):
    check(said, finish)
