"""`decide` on engine=fake: the same under both KV dtypes, and a reader that sees nothing."""

import dataclasses
import json

import numpy as np
import pytest

from niah.commands.decide.pairing import Plan, Side, differences, hardest
from tests.helpers.command import REPOSITORY, rows, said
from tests.helpers.runs import ROW

FAKE = (
    "engine=fake", "engine.window=400", "haystack=noise", "ctx.lengths=[256,512]", "ctx.depths=[0,50,100]",
    "report.formats=[]", "report.page=false",
)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["one", "all"])
def test_what_is_the_same_is_called_so(place, capfd, unit):
    words = (*FAKE, "kv=[bf16,fp8]", "name=a", "decide.margin=0.2", f"decide.unit={unit}")
    first = said(capfd, "decide", *words)
    assert "fp8 against bf16: not worse by 20 points, with 95.0% confidence" in first
    found = rows(place / "a")
    assert len({(row["variant"], row["trial"]) for row in found}) == len(found)
    content = json.loads((place / "a" / "decide.json").read_text())["pairs"][0]
    assert content["verdict"] == "not worse" and sum(content["num_prompts"]) == len(found)
    assert "not worse by 20 points" in said(capfd, "decide", *words) and rows(place / "a") == found


@pytest.mark.slow
def test_a_reader_that_sees_nothing_is_worse_and_has_a_run_of_its_own(place, capfd):
    text = said(capfd, "decide", *FAKE, "reader=[full,none]", "name=a", code=2)
    assert "none against full: worse, with 95.0% confidence" in text
    assert {path.name for path in place.iterdir() if path.is_dir()} == {"a-full", "a-none"}
    full, none = ({(row["length"], row["depth"], row["repeat"]) for row in rows(place / name)}
                  for name in ("a-full", "a-none"))
    assert none <= full


RETRIEVING = (
    "decide", "engine=fake", "engine.window=4000", "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[0,100]",
    "name=a", "reader=[full,bm25,route]", "reader.budget=128", "reader.chunk_tokens=64", "reader.k1=1.2",
    "decide.margin=0.3",
)


def test_retrieving_readers_get_their_own_settings(place, capfd):
    text = said(capfd, *RETRIEVING, "decide.most=2")
    assert "bm25 against full: open" in text and "route against full: open" in text
    found = {name: rows(place / f"a-{name}") for name in ("full", "bm25", "route")}
    assert {name: len(own) for name, own in found.items()} == {"full": 2, "bm25": 2, "route": 2}
    assert all(row["num_prompt_tokens"] < 300 and row["retrieved"] for row in found["bm25"])


@pytest.mark.slow
def test_retrieving_readers_go_on(place, capfd):
    said(capfd, *RETRIEVING, "decide.most=8")
    before = {name: rows(place / f"a-{name}") for name in ("full", "bm25", "route")}
    text = said(capfd, *RETRIEVING)
    assert "bm25 against full: not worse by 30 points" in text and "route against full: not worse" in text
    assert all(rows(place / f"a-{name}")[:8] == found for name, found in before.items())
    after = {name: rows(place / f"a-{name}") for name in before}
    assert "bm25 against full: not worse by 30 points" in said(capfd, *RETRIEVING)
    assert {name: rows(place / f"a-{name}") for name in before} == after


def test_sides_of_models_and_engines(place, tmp_path, capfd):
    for group, plain in (("model", "smollm2_135m"), ("engine", "fake")):
        (tmp_path / "own" / group).mkdir(parents=True)
        text = (REPOSITORY / "conf" / group / f"{plain}.yaml").read_text()
        (tmp_path / "own" / group / "twin.yaml").write_text(text.replace(f"name: {plain}", "name: twin"))
    words = ("decide", "--config-dir", str(tmp_path / "own"), "haystack=noise", "ctx.lengths=[256]", "decide.most=2")
    text = said(capfd, *words, "model=[smollm2_135m,twin]", "engine=fake", "name=m")
    assert "twin against smollm2_135m: open" in text and len(rows(place / "m-twin")) == 2
    assert "twin against fake: open" in said(capfd, *words, "engine=[fake,twin]", "engine.window=99", "name=e")
    assert all(row["engine"] == "twin" for row in rows(place / "e-twin"))


def test_budgets_of_one_reader_are_called_by_their_budget(place, capfd):
    text = said(
        capfd, "decide", "engine=fake", "haystack=noise", "ctx.lengths=[1k]", "decide.most=2", "reader=bm25",
        "reader.budget=[256,512]", "name=b",
    )
    assert "budget 512 against budget 256: open" in text and len([*(place / "b").glob("*/run.json")]) == 2


def test_three_sides_share_the_error(place, capfd):
    said(capfd, "decide", *FAKE, "kv=[bf16,fp8,fp8_e5m2]", "name=a", "decide.margin=0.3", "decide.budget=2000 tokens")
    content = json.loads((place / "a" / "decide.json").read_text())["pairs"]
    assert [one["alpha"] for one in content] == pytest.approx([0.025, 0.025])
    assert "open" in {one["verdict"] for one in content}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one run with one KV dtype; expected two to compare"),
        (("reader=[full,none]", "model=[smollm2_135m,gemma3_270m]"), "expected one difference"),
        (("reader=[bm25,dense]", "reader.budget=[256,512]"), "got several of reader and of reader.budget;"),
        (("reader=bm25", "reader.budget=[256,512]", "kv=[bf16,fp8]"), "got several of reader.budget and of kv"),
        (("reader=[full,none]", "kv=[bf16,fp8]"), "got several of reader and of kv; expected one difference"),
        (("reader=[full,full]",), "got reader=[full,full]; expected choices that differ"),
        (("reader=[]",), "got reader=[]; expected choices that differ"),
        (("reader=[full,bm52]",), "reader=bm52: no such choice"),
        (("reader=[full,bm25]", "reader.nothing=1"), "reader.nothing: unknown key"),
        (("reader=full,bm25",), "several choices; expected one"),
        (("reader=[full,bm25]", "decide.most=0"), "decide.most: got 0"),
        (("kv=[bf16,fp8]", "decide.margin=0"), "decide.margin: got 0"),
        (("kv=[bf16,fp8]", "decide.nothing=0"), "decide.nothing: unknown key"),
    ],
)
def test_what_it_cannot_do_is_one_line(place, capfd, words, message):
    assert message in said(capfd, "decide", *FAKE, *words, code=1)


def side(*found: tuple[int, int, float, float | None]) -> Side:
    """Of (length, repeat, score, log-probability)."""
    made = Side("x")
    for length, repeat, score, logprob in found:
        made.told(dataclasses.replace(ROW, length=length, depth=0.0, repeat=repeat, score=score, logprob=logprob))
    return made


def test_differences_are_of_whole_repeats():
    plan = Plan([8, 16], [0.0], 0, has_all=True)
    a = side((8, 0, 1, None), (16, 0, 1, None), (8, 1, 1, None))
    b = side((8, 0, 1, None), (16, 0, 0, None), (8, 1, 0, None), (16, 1, 0, None))
    assert np.allclose(differences(a, b, [plan.cells(repeat) for repeat in range(2)]), [-0.5])
    assert np.allclose(differences(a, b, [plan.cells_at(8, repeat) for repeat in range(2)]), [0, -1])


def test_one_cell_a_repeat_is_drawn_from_all():
    plan = Plan([8, 16], [0.0, 50.0], 0, has_all=False)
    drawn = [plan.cells(repeat)[0][:2] for repeat in range(200)]
    assert {drawn.count(one) > 25 for one in {*drawn}} == {True} and len({*drawn}) == 4
    assert plan.cells_at(16, 3)[0][1] == plan.cells(3)[0][1]


def test_the_length_whose_log_probability_falls_comes_first():
    a = side(*((length, repeat, 1, -0.1) for length in (8, 16) for repeat in range(8)))
    b = side(*((length, repeat, 1, -0.1 - (length == 16) * (0.5 + repeat / 100)) for length in (8, 16)
               for repeat in range(8)))
    assert hardest(a, b, [8, 16]) == 16
    assert hardest(a, a, [8, 16]) is None
    assert hardest(side(), side(), [8, 16]) is None
