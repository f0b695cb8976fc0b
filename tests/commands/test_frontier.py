"""`frontier` on engine=fake, whose effective length is known: the rung, its rows, what happens when it is stopped."""

import json

import pytest

from niah.commands.budget import parse
from niah.errors import NiahError
from niah.planner.hardware import Hardware
from tests.helpers.command import rows, said

FAKE = ("engine=fake", "haystack=noise", "ctx.depths=[0,50,100]", "report.formats=[]", "report.page=false")
LADDER = "ctx.lengths=[256,512,1k,2k]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("window", "unit", "sentence"),
    [
        (600, "one", "effective length at 85.0%: 512, with 95% confidence"),
        (600, "all", "effective length at 85.0%: 512, with 95% confidence"),
        (4000, "all", "effective length at 85.0%: at least 2K, with 95% confidence"),
        (10, "all", "effective length at 85.0%: below 256, with 95% confidence"),
    ],
)
def test_the_rung_of_a_staircase_is_found(place, capfd, window, unit, sentence):
    words = (*FAKE, LADDER, f"engine.window={window}", "name=a", f"frontier.unit={unit}")
    assert sentence in said(capfd, "frontier", *words)
    found = rows(place / "a")
    for length in {row["length"] for row in found}:  # repeats in their order, none left out
        repeats = sorted({row["repeat"] for row in found if row["length"] == length})
        assert repeats == list(range(len(repeats)))
    content = json.loads((place / "a" / "frontier.json").read_text())["variants"]["bf16"]
    assert content["tokens"] == sum(row["num_prompt_tokens"] for row in found)
    run = json.loads((place / "a" / "run.json").read_text())
    assert run["plan"]["num_trials"] == len(found) and run["sessions"][0]["asked"]["is_chosen"]
    again = said(capfd, "frontier", *words)
    assert sentence in again and rows(place / "a") == found


@pytest.mark.slow
def test_the_base_of_nolima_is_part_of_the_claim(place, capfd):
    """engine=fake sees the last 1,300 tokens: all at 1,100, two of three depths at 2,200."""
    words = (*FAKE, "ctx.lengths=[256,1100,2200]", "engine.window=1300", "name=a", "frontier.threshold=nolima")
    text = said(capfd, "frontier", *words, "frontier.unit=all")
    assert "effective length at 85.0% of the accuracy at 256: 1,100, with 95% confidence" in text, text
    asked = {(row["length"], row["repeat"]) for row in rows(place / "a")}
    assert {(256, repeat) for _, repeat in asked} <= asked


@pytest.mark.slow
def test_all_pass_a_base_that_they_keep(place, capfd):
    words = (*FAKE, "ctx.lengths=[1k,2k]", "engine.window=4000", "name=a", "frontier.threshold=nolima")
    assert "85.0% of the accuracy at 1K: at least 2K, with 95% confidence" in said(capfd, "frontier", *words)


@pytest.mark.slow
def test_contexts_that_are_shared_are_asked_at_all_depths(place, capfd):
    words = (*FAKE, "ctx.lengths=[512,1k]", "ctx.share=depths", "engine.window=8k", "name=a")
    assert "effective length at 85.0%: at least 1K" in said(capfd, "frontier", *words)
    found = rows(place / "a")
    contexts = {(row["length"], row["repeat"]) for row in found}
    assert len(found) == 3 * len(contexts)


@pytest.mark.slow
def test_it_stops_at_its_budget_and_goes_on(place, capfd):
    words = (*FAKE, LADDER, "engine.window=600", "name=a")
    first = said(capfd, "frontier", *words, "frontier.budget=9000 tokens")
    before = rows(place / "a")
    assert "with 95% confidence" in first and 9000 <= sum(row["num_prompt_tokens"] for row in before) < 9000 + 2 * 2048
    assert ": 512, with 95% confidence" in said(capfd, "frontier", *words)
    assert rows(place / "a")[: len(before)] == before


@pytest.mark.slow
def test_it_joins_a_grid_and_a_grid_joins_it(place, capfd):
    words = (*FAKE, "ctx.lengths=[256,512]", "engine.window=4000", "name=a")
    said(capfd, *words, "ctx.repeats=4")
    before = rows(place / "a")
    assert "at least 512" in said(capfd, "frontier", *words, "frontier.unit=all")
    assert rows(place / "a")[: len(before)] == before
    assert "were done before" in said(capfd, *words, "ctx.repeats=10")
    assert f"{min(row['repeat'] for row in rows(place / 'a'))}" == "0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("frontier.threshold=high",), "frontier.threshold: got 'high'; expected an accuracy between 0 and 1"),
        (("frontier.threshold=1",), "frontier.threshold: got '1'"),
        (("frontier.budget=20",), "frontier.budget: got '20'; expected minutes, tokens or dollars"),
        (("frontier.budget=$5",), "nobody knows what an hour"),
        (("frontier.confidence=2",), "frontier.confidence: got 2"),
        (("reader=route",), "asks a second time"),
    ],
)
def test_what_it_cannot_do_is_one_line(place, capfd, words, message):
    assert message in said(capfd, "frontier", *FAKE, LADDER, *words, code=1)


def test_budgets():
    h100 = Hardware(name="h100", num_gpus=8, dollars_per_gpu_hour=2.5)
    assert parse("30m", h100, "x").seconds == 1800 and parse("2h", h100, "x").seconds == 7200
    assert parse("2e9 tokens", h100, "x").tokens == 2e9 and parse("$20", h100, "x").seconds == 3600
    with pytest.raises(NiahError, match=r"nobody knows what an hour of \w"):
        parse("$5", Hardware(name="auto", label="no GPU whose price is known", memory_gib=1.0), "x")
    for wrong in ("", "-5m", "m", "$5m", "nan tokens", "1e400 tokens", "1,5h", "[1m]", "5"):
        with pytest.raises(NiahError, match="expected minutes, tokens or dollars"):
            parse(wrong, h100, "x")
