"""Verbs that choose their trials themselves: exit code 5 where trials, or an engine, are left without an answer."""

import json

import pytest

from tests.helpers.command import rows, said

FAKE = ("haystack=noise", "ctx.depths=[0,50,100]", "report.formats=[]", "report.page=false", "name=a")
FAILS = ("engine=fake", "engine.window=4000", "engine.fail_at=[1]")
ENDS = ("engine=fake", "engine.window=4000", "engine._target_=tests.helpers.mortal.Mortal", "engine.strength=300")
FRONTIER = ("frontier", *FAKE, "ctx.lengths=[256,512]", "frontier.budget=3000 tokens")
DECIDE = ("decide", *FAKE, "ctx.lengths=[256]", "kv=[bf16,fp8]", "decide.margin=0.3")
EDGES = ("edges", *FAKE, "haystack=generated", "ctx.lengths=[420]", "edges.texts=2")


@pytest.mark.parametrize(("words", "file"), [
    (FRONTIER, "frontier.json"), (DECIDE, "decide.json"), (EDGES, "edges.json"),
])
def test_a_trial_without_an_answer(place, capfd, words, file):
    text = said(capfd, *words, *FAILS, code=5)
    failed = [row for row in rows(place / "a") if row["outcome"] == "engine-error"]
    assert f"trials ended without an answer (trial {failed[0]['trial']}: engine=fake was asked to fail here)" in text
    assert "the same command asks again" in text and (place / "a" / file).exists()


@pytest.mark.parametrize(("words", "said_first"), [
    ((*FRONTIER, "frontier.unit=all"), "effective length at 85.0%: "),
    ((*EDGES, "engine.strength=350"), "no pattern"),
    ((*DECIDE, "ctx.lengths=[256,512]"), "fp8 against bf16: open"),
])
def test_an_engine_that_ends_leaves_what_is_known(place, capfd, words, said_first):
    text = said(capfd, words[0], *ENDS, *words[1:], code=5)
    assert said_first in text and "the engine ended or failed 3 times in a row" in text
    assert text.index(said_first) < text.index("the same command asks again")


def test_a_side_whose_engine_does_not_start_is_open(place, capfd):
    text = said(capfd, *DECIDE, *ENDS[:3], "engine.refuses=fp8_e4m3", code=5)
    assert "fp8 against bf16: open" in text and "did not start; ValueError: no kernel" in text
    assert json.loads((place / "a" / "decide.json").read_text())["pairs"][0]["num_prompts"] == [16, 0]


def test_an_engine_without_any_answer_is_a_refusal(place, capfd):
    assert "3 times in a row" in said(capfd, *FRONTIER, *ENDS[:3], "engine.strength=10", code=1)


def test_a_proof_goes_before_what_is_left(place, capfd):
    words = (word for word in DECIDE if not word.startswith("kv="))
    assert "none against full: worse" in said(capfd, *words, "reader=[full,none]", *FAILS, code=2)
