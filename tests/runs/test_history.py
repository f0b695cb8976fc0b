"""More repeats, lengths, depths and KV dtypes join a run that is there: its rows stay, and none is asked twice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from niah import cli
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.records import RunRecord, RunSession, Scope
from niah.runs import history, identity, record
from niah.runs.store import RunFolder
from tests.helpers.command import rows, said
from tests.helpers.configs import built

FAKE = ("engine=fake", "engine.window=900", "haystack=noise", "report.formats=[]", "report.page=false")
GRID = ("ctx.lengths=[512,1k]", "ctx.depths=[0,100]", "ctx.repeats=3")


def run(capfd, *words: str, code: int = 0) -> str:
    return said(capfd, *FAKE, *words, code=code)


def lines(folder: Path) -> list[bytes]:
    return (folder / "rows.jsonl").read_bytes().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "num"),
    [
        (("ctx.repeats=5",), 8),
        (("ctx.lengths=[256,512,1k,2k]",), 12),
        (("ctx.depths=[0,50,100]",), 6),
        (("kv=[bf16,fp8]",), 12),
        (("ctx.lengths=[2k]", "ctx.repeats=1", "kv=fp8"), 2),
    ],
)
def test_more_of_the_same_joins_a_run(place, capfd, more, num):
    run(capfd, *GRID, "name=a")
    before = lines(place / "a")
    said = run(capfd, *GRID, *more, "name=a")
    now = lines(place / "a")
    assert f"{num} of " in said and now[: len(before)] == before and len(now) == len(before) + num
    found = rows(place / "a")
    assert len({(row["variant"], row["trial"]) for row in found}) == len(found)
    assert len({(row["variant"], row["length"], row["depth"], row["repeat"]) for row in found}) == len(found)
    number_of = {(row["length"], row["depth"], row["repeat"]): row["trial"] for row in found}
    assert len({*number_of.values()}) == len(number_of)
    content = json.loads((place / "a" / "run.json").read_text())
    assert content["sessions"][0]["asked"] == {
        "lengths": [512, 1024], "depths": [0, 100], "repeats": 3, "variants": ["bf16"]
    }
    assert content["config"]["kv"]["name"] == "bf16" and content["plan"]["num_trials"] == len(number_of)
    assert cli.main(["show", str(place / "a"), "--trial", str(found[-1]["trial"])]) == 0
    assert "as stored: verified" in capfd.readouterr().out
    assert "were done before" in run(capfd, *GRID, *more, "name=a") and lines(place / "a") == now


@pytest.mark.slow
def test_rows_are_those_of_a_run_that_was_asked_all_at_once(place, capfd):
    run(capfd, *GRID, "name=grown")
    run(capfd, "ctx.lengths=[512,1k,2k]", "ctx.depths=[0,50,100]", "ctx.repeats=4", "kv=[bf16,fp8]", "name=grown")
    run(capfd, "ctx.lengths=[512,1k,2k]", "ctx.depths=[0,50,100]", "ctx.repeats=4", "kv=[bf16,fp8]", "name=once")
    grown, once = (
        {(row["variant"], row["length"], row["depth"], row["repeat"]): (row["prompt_sha256"], row["score"])
         for row in rows(place / name)}
        for name in ("grown", "once")
    )
    assert grown == once and len(once) == 72


def test_a_smaller_grid_is_shown_alone_and_loses_nothing(place, capfd):
    run(capfd, *GRID, "kv=[bf16,fp8]", "name=a")
    before = lines(place / "a")
    said = run(capfd, "ctx.lengths=[1k]", "ctx.depths=[0,100]", "ctx.repeats=2", "kv=fp8", "name=a")
    assert "all 4 trials were done before" in said and lines(place / "a") == before
    assert "table: the 4 trials asked for; figures and page: all 24 here" in said and "512" not in said


def test_a_grid_that_joined_and_was_cut_short_goes_on(place, capfd):
    run(capfd, *GRID, "name=a")
    run(capfd, *GRID, "ctx.lengths=[256,512,1k]", "name=a")
    whole = lines(place / "a")
    (place / "a" / "rows.jsonl").write_bytes(b"\n".join(whole[:14]) + b"\n")
    assert "4 of 18 trials to run" in run(capfd, *GRID, "ctx.lengths=[256,512,1k]", "name=a")
    numbers = [
        {(row["length"], row["depth"], row["repeat"]): row["trial"] for row in map(json.loads, some)}
        for some in (whole, lines(place / "a"))
    ]
    assert numbers[0] == numbers[1]


@pytest.mark.slow
def test_a_run_without_a_name_is_found_by_more_of_the_same(place, capfd):
    run(capfd, *GRID)
    run(capfd, *GRID, "ctx.repeats=4", "kv=[bf16,fp8]")
    (folder,) = (path for path in place.iterdir() if path.is_dir())
    assert len(lines(folder)) == 32 and "-bf16-" in folder.name
    run(capfd, *GRID, "task.question=Which?")
    assert len([path for path in place.iterdir() if path.is_dir()]) == 2


def test_a_run_of_an_earlier_version_without_a_name_is_found(place):
    settings = built(*FAKE, *GRID, "kv=[bf16,fp8]", f"outputs={place}")
    recipe = Recipe(settings)
    fresh = record.of_run(settings, recipe)
    known = record.fingerprint({"config": settings.content, "sources": record.plain(
        record.dataclasses.replace(recipe.sources(), model_identity=recipe.files.identity)
    )})
    before = record.earlier_name(settings, known)
    assert "-bf16+fp8-" in before and fresh.name != before
    with RunFolder(place / before) as folder:
        folder.write_record(fresh)
    assert record.of_run(settings, recipe).name == before


def test_numbers_of_trials():
    first = {"lengths": [8, 16], "depths": [0.0], "repeats": 2, "variants": ["bf16"]}
    grown = history.numbers([first, {**first, "repeats": 3}, {**first, "lengths": [4]}])
    assert [one for one, _ in sorted(grown.items(), key=lambda item: item[1])] == [
        (8, 0.0, 0), (16, 0.0, 0), (8, 0.0, 1), (16, 0.0, 1), (8, 0.0, 2), (16, 0.0, 2), (4, 0.0, 0), (4, 0.0, 1)
    ]


def test_what_is_told_for_long_prompts_alone_is_part_of_the_identity():
    model = {"max_length": 1000, "extended_args": {"a": 1}}
    short, long = ({"model": model, "ctx": {"lengths": [length]}} for length in (1000, 2000))
    assert identity.of(short) != identity.of(long)
    assert identity.of({**short, "model": {}}) == identity.of({**long, "model": {}})


@pytest.mark.parametrize("asked", [{"lengths": 5}, {"lengths": [8], "depths": [0], "repeats": 0, "variants": ["a"]}])
def test_a_session_that_asks_for_no_grid_is_refused(asked):
    stored = RunRecord(
        config={"ctx": {"lengths": [8], "depths": [0]}}, scope=Scope(variants=["a"]), sessions=[RunSession(asked=asked)]
    )
    with pytest.raises(NiahError, match=r"run.json: sessions\[0\].asked is no grid"):
        history.grids(stored, "run.json")


def test_a_run_without_an_answer_does_not_hold_its_name(place, capfd):
    run(capfd, *GRID, "name=a")
    record_there = RunFolder(place / "a").record()
    (place / "a" / "rows.jsonl").unlink()
    with RunFolder(place / "a") as folder:  # as where the engine was refused before the first trial
        begun = [RunSession(started="2026-11-29T12:00:00")]
        folder.write_record(replace(record_there, sessions=begun))
    text = run(capfd, *GRID, "seed=9", "name=a")
    assert "12 of 12 trials to run" in text
    assert json.loads((place / "a" / "run.json").read_text())["config"]["seed"] == 9 and len(rows(place / "a")) == 12
    assert "holds a run with other settings" in run(capfd, *GRID, "seed=8", "name=a", code=1)
