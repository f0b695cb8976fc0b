"""The same sentences under niah's scorers and under the rules of RULER, InfiniteBench and BABILong: agreed, or why not.

RULER's functions are its own where nvidia-long-context-eval is installed. The others are written here from what their
definition says: InfiniteBench takes the first run of ASCII digits (PassKey, Number) or looks for the label among words
cut at .,:'"?!{} (KV); BABILong takes the first sentence in lower case, and the label has to be the only one in it that
the question does not name.
"""

import re
from importlib import import_module

import pytest

from niah.records import Problem
from niah.scorers.any_of import AnyOf
from niah.scorers.contains import Contains
from niah.scorers.exact import Exact
from niah.scorers.number import Number
from niah.scorers.only import Only

PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
QUESTION = "Where is the milk that Mary took to the garden?"
UUID = "8f3b2c1a-44d0-4e6f-9a3c-0123456789ab"


def ruler(response: str, targets: list[str]) -> float:
    """string_match_all of one sample, 0 to 1."""
    return sum(target.lower() in response.lower() for target in targets) / len(targets)


def ruler_part(response: str, targets: list[str]) -> float:
    return float(any(target.lower() in response.lower() for target in targets))


def infinite_number(response: str, target: str) -> float:
    digits = re.findall("[0-9]+", response)
    return float(digits[:1] == [target])


def infinite_kv(response: str, target: str) -> float:
    return float(target in re.split(r"[\s:\"'.,?!{}]+", response))


def babilong(response: str, target: str) -> float:
    said = response.lower().partition(".")[0]
    named = {place for place in PLACES if place in said and place not in QUESTION.lower()}
    return float(named == {target})


# kind, response, then verdicts: contains, RULER, InfiniteBench's Number, number, exact; and why they differ
NUMBERS = [
    ("bare", "4829173", 1, 1, 1, 1, 1, ""),
    ("sentence", "The special magic number for Lisbon is 4829173.", 1, 1, 1, 1, 0, "exact wants the answer alone"),
    ("bold", "**4829173**", 1, 1, 1, 1, 1, ""),
    ("commas", "4,829,173", 1, 0, 0, 1, 1, "separators are no other number"),
    ("no-break spaces", "4\u00a0829\u00a0173", 1, 0, 0, 1, 1, "the same"),
    ("other digits", "٤٨٢٩١٧٣", 1, 0, 0, 1, 1, "digits of all scripts"),
    ("with its unit", "4829173kg", 1, 1, 1, 1, 0, "exact wants the answer alone"),
    ("longer number", "14829173", 0, 1, 0, 0, 0, "RULER takes any substring"),
    ("after a count", "Of 2 numbers it is 4829173.", 1, 1, 0, 1, 0, "InfiniteBench takes the first integer"),
    ("before another", "4829173, not 1111111", 1, 1, 1, 0, 0, "number takes the last"),
    ("hedge", "1111111 or 4829173", 1, 1, 0, 1, 0, "only refuses what names a distractor too"),
    ("another", "1111111", 0, 0, 0, 0, 0, ""),
    ("claim of absence", "It is not mentioned.", 0, 0, 0, 0, 0, ""),
    ("refusal", "I cannot share that.", 0, 0, 0, 0, 0, ""),
    ("cut", "The number is 4829", 0, 0, 0, 0, 0, ""),
    ("empty", "", 0, 0, 0, 0, 0, ""),
]
# kind, response, then verdicts: contains, RULER, InfiniteBench's KV; and why they differ
UUIDS = [
    ("bare", UUID, 1, 1, 1, ""),
    ("JSON", f'{{"key": "{UUID}"}}', 1, 1, 1, ""),
    ("bold", f"**{UUID}**", 1, 1, 0, "InfiniteBench leaves the stars on the word"),
    ("upper case", UUID.upper(), 1, 1, 0, "InfiniteBench keeps the case"),
    ("no-break hyphens", UUID.replace("-", "\u2011"), 1, 0, 0, "hyphens are folded"),
    ("cut", UUID[:20], 0, 0, 0, ""),
    ("longer", UUID + "0", 0, 1, 0, "RULER takes any substring"),
]
# kind, response, then verdicts: contains, RULER, BABILong, only; and why they differ
RAMBLING = [
    ("bare", "kitchen", 1, 1, 1, 1, ""),
    ("sentence", "The milk is in the kitchen.", 1, 1, 1, 1, ""),
    ("names the question's", "Mary left the garden; it is in the kitchen.", 1, 1, 1, 1, ""),
    ("two places", "It was in the office and is now in the kitchen.", 1, 1, 0, 0, "contains stands no rambling"),
    ("told at length", "It is in the kitchen. First it was in the office.", 1, 1, 1, 0, "BABILong reads one sentence"),
    ("late", "Let me see. It is in the kitchen.", 1, 1, 0, 1, "BABILong reads one sentence"),
    ("part of a word", "It is in the kitchenette.", 0, 1, 1, 0, "RULER and BABILong take any substring"),
    ("another", "It is in the office.", 0, 0, 0, 0, ""),
]


@pytest.mark.parametrize("line", NUMBERS, ids=lambda line: line[0])
def test_numbers(line):
    _, said, *verdicts, why = line
    found = [
        Contains().score(said, ["4829173"]).value, ruler(said, ["4829173"]), infinite_number(said, "4829173"),
        Number().score(said, ["4829173"]).value, Exact().score(said, ["4829173"]).value,
    ]
    assert found == verdicts
    assert AnyOf().score(said, ["4829173"]).value == found[0]
    assert bool(why) == (len(set(found)) > 1 or "only" in why)


@pytest.mark.parametrize("line", UUIDS, ids=lambda line: line[0])
def test_uuids(line):
    _, said, *verdicts, why = line
    found = [Contains().score(said, [UUID]).value, ruler(said, [UUID]), infinite_kv(said, UUID)]
    assert found == verdicts and bool(why) == (len(set(found)) > 1)


@pytest.mark.parametrize("line", RAMBLING, ids=lambda line: line[0])
def test_rambling(line):
    _, said, *verdicts, why = line
    others = [place for place in PLACES if place not in ("kitchen", "garden")]
    only = Only().score_problem(said, Problem((), QUESTION, ("kitchen",), distractors=tuple(others))).value
    found = [Contains().score(said, ["kitchen"]).value, ruler(said, ["kitchen"]), babilong(said, "kitchen"), only]
    assert found == verdicts and bool(why) == (len(set(found)) > 1)


@pytest.mark.parametrize("said", [line[1] for line in (*NUMBERS, *UUIDS, *RAMBLING)])
def test_whole_words_off_is_rulers_rule(said):
    for targets in (["4829173"], [UUID], ["kitchen", "4829173"], ["cannot", "STARS", "kitchen"]):
        assert Contains(whole_words=False).score(said, targets).value == ruler(said, targets)
        assert AnyOf(whole_words=False).score(said, targets).value == ruler_part(said, targets)


def test_the_rule_is_rulers_own():
    pytest.importorskip("long_context_eval")
    own = import_module("long_context_eval.eval.synthetic.constants")
    for said in [line[1] for line in (*NUMBERS, *UUIDS, *RAMBLING)]:
        for targets in (["4829173"], [UUID, "kitchen"], ["cannot", "STARS", "kitchen"]):
            together = own.string_match_all_per_sample([said], [targets])[0] / 100
            assert together == pytest.approx(Contains(whole_words=False).score(said, targets).value)
            part = own.string_match_part_per_sample([said], [targets])[0] / 100
            assert part == AnyOf(whole_words=False).score(said, targets).value
