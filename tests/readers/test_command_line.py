"""Readers from the command line, with the shipped fake engine."""

import json
from pathlib import Path

import pytest

from niah.runs.store import open_for_reading
from niah.stats.routes import shares
from tests.helpers.command import rows

FAKE = ("engine=fake", "haystack=generated", "ctx.depths=[20,80]", "engine.window=100k")


def runs(path: Path) -> list[list[dict]]:
    """Rows of every run below a folder."""
    return [rows(file.parent) for file in sorted(path.glob("*/rows.jsonl"))]


def by_reader(path: Path) -> dict[str, list[dict]]:
    """Rows of every run below a folder, in the order of their trials, by reader."""
    return {run[0]["reader"]: sorted(run, key=lambda row: row["trial"]) for run in runs(path)}


def test_readers_side_by_side_on_the_same_instances(niah, tmp_path):
    done = niah("-m", *FAKE, "ctx.lengths=[1k,16k]", "reader=full,none,oracle,bm25,hybrid")
    assert done.returncode == 0, done.stderr
    reason = "above the limit of smollm2_135m; got 16,384; expected at most 8,192"
    assert f"16K does not fit: ctx.lengths[1]: {reason}" in done.stderr
    found = by_reader(tmp_path / "outputs")
    assert set(found) == {"full", "none", "oracle", "bm25", "hybrid"}
    for run in found.values():
        num_sent = 2 if run[0]["reader"] == "full" else 4
        assert [row["targets"] for row in run if row["targets"]] == [found["bm25"][0]["targets"]] * num_sent
    assert [row["outcome"] for row in found["full"]] == ["correct", "correct", "does-not-fit", "does-not-fit"]
    assert {row["outcome"] for row in found["none"]} == {"absent-claimed"}
    assert {row["outcome"] for row in found["oracle"]} == {"correct"}
    for row in found["bm25"] + found["hybrid"]:
        fate = row["needles_retrieved"][0]
        assert row["outcome"] == ("correct" if fate == "whole" else "absent-claimed")
        assert row["needles_kept"] == [fate == "whole"]
        assert 0 < len(row["retrieved"]) <= 8 and row["num_prompt_tokens"] < 8 * 260 + 100 and row["route"] == ""
        start, stop, _ = max(row["retrieved"], key=lambda chunk: chunk[2])
        assert 0 <= start < stop <= row["length"]
    assert found["bm25"][-1]["needles_retrieved"] == ["whole"]


@pytest.mark.slow
def test_one_budget_for_a_sweep_over_all_readers(niah, tmp_path):
    words = (
        "task=multikey", "ctx.lengths=[4k]", "reader=full,none,bm25", "reader.chunk_tokens=128",
        "reader.budget=[256,1k]",
    )
    done = niah(*FAKE, *words)
    assert done.returncode == 0, done.stderr
    found = runs(tmp_path / "outputs")
    # full and none have no budget: one run each
    assert sorted(run[0]["reader"] for run in found) == ["bm25", "bm25", "full", "none"]
    for trial in range(2):
        # whatever the reader shows
        (sha,) = {next(row for row in run if row["trial"] == trial)["context_sha256"] for run in found}
        assert len(sha) == 64
    assert {row["context_sha256"] for row in found[0]} != {sha}
    assert {row["num_needed"] for run in found for row in run} == {1}


@pytest.mark.slow
def test_show_tells_what_was_retrieved(niah, tmp_path):
    assert niah(*FAKE, "ctx.lengths=[64k]", "reader=bm25", "name=a").returncode == 0
    done = niah("show", "outputs/a", "--trial", "1")
    assert done.returncode == 0, done.stderr
    for text in ("retrieved: 8 chunks in ", "of the context, score ", "needle 1: whole", "verified", ">>>"):
        assert text in done.stdout


@pytest.mark.slow
def test_route_reads_the_whole_context_only_where_it_has_to(niah, tmp_path):
    words = (
        "reader=route", "reader.marker=do not know", "reader.chunk_tokens=64", "reader.top_k=1", "reader.split=fixed",
    )
    done = niah(*FAKE, "ctx.lengths=[2k,4k]", "ctx.depths=[0,10,20,30,40,50,60,70,80,90,100]", *words, "name=a")
    assert done.returncode == 0, done.stderr
    _, record, found = open_for_reading(str(tmp_path / "outputs" / "a"))
    assert {row.route for row in found} == {"rag", "long"} and {row.outcome for row in found} == {"correct"}
    for row in found:
        whole = row.length - record.scope.answer_tokens
        assert row.needles_kept == [True] and (row.needles_retrieved == ["whole"]) == (row.route == "rag")
        assert (row.num_prompt_tokens > whole) == (row.route == "long") and row.num_prompt_tokens < whole + 300
    share = shares(found, record.scope.answer_tokens)
    sentence = f"route: {share.answerable:.0%} of 22 answered from retrieved text, {share.tokens:.0%} of the tokens"
    assert sentence in done.stdout
    assert share.answerable == sum(row.route == "rag" for row in found) / 22 and share.tokens < 1
    trial = next(row.trial for row in found if row.route == "long")
    shown = niah("show", "outputs/a", "--trial", str(trial))
    assert shown.returncode == 0 and "then the whole context was read" in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("task=aggregate",), ("task=absent", "task.num_decoys=3"), ("task=multikey", "haystack=records")]
)
def test_every_kind_of_task_and_source(niah, tmp_path, words):
    done = niah(*FAKE, "reader=bm25", "ctx.lengths=[8k]", "name=a", "reader.budget=1k", *words)
    assert done.returncode == 0, done.stderr
    (run,) = by_reader(tmp_path / "outputs").values()
    assert all(row["retrieved"] and row["num_prompt_tokens"] < 1400 for row in run)


@pytest.mark.slow
def test_build_writes_what_a_reader_shows(niah, tmp_path):
    words = ("model=smollm2_135m", "reader=bm25", "haystack=generated", "ctx.lengths=[32k]", "ctx.depths=[50]")
    done = niah("build", "out=a", *words)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "a" / "manifest.json").read_text())["contexts"]
    assert entry["num_prompt_tokens"] < 2200 and entry["needles_kept"] == [True] and entry["length"] == 32768


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reader=bm25", "reader.budget=100"], "reader.budget: smaller than a chunk; got 100; expected at least 256"),
        (
            ["reader=bm25", "reader.budget=16k", "ctx.lengths=[64k]"],
            "reader.budget: with question and answer up to 16,",
        ),
        (["reader=bm25", "reader.top_k=60", "ctx.lengths=[64k]"], "expected at most 8,192, the limit of smollm2_135m"),
        (
            ["reader=dense", "reader.model=nobody/nothing"],
            "reader.model: nobody/nothing is neither a folder nor could it be fetched",
        ),
        (["reader=dense", "reader.model=package:no_such/model"], "package no-such is not installed"),
        (["reader=bm25", "task.needle=A {value}.", "task.question=?!"], "no word to search for in the question '?!'"),
        (["reader=oracle", "task=aggregate"], "reader=oracle: this task plants nothing"),
        (["reader=route", "reader.first=guess"], "reader.first: got 'guess'; expected one of bm25, dense, hybrid"),
        (["reader=dense", "reader.search=fast"], "reader.search: got 'fast'; expected flat, which"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(niah, words, message):
    done = niah("engine=fake", "haystack=generated", "ctx.depths=[50]", "ctx.lengths=[4k]", *words, HF_HUB_OFFLINE="1")
    assert done.returncode == 1 and message in done.stderr
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("haystack ")]
    assert len(lines) == 1 and lines[0].startswith("niah: "), done.stderr
