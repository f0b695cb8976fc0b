"""Readers over real tokenizers and sources: chunks, needles at their borders, prompts, the stored index."""

import dataclasses
import json

import numpy as np
import pytest

from niah.errors import NiahError
from niah.haystacks import corpus
from niah.haystacks.noise import Noise
from niah.prompts import template
from niah.prompts.recipe import Recipe
from niah.readers.bm25 import BM25
from niah.readers.dense import Dense
from niah.readers.hybrid import Hybrid
from niah.readers.none import NoContext
from niah.readers.oracle import Oracle
from niah.readers.retrieval.blocks import BLOCK, Blocks, stored
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import collect
from niah.readers.retrieval.views import SEPARATOR, merged
from niah.readers.route import Route
from niah.records import Problem
from niah.runs import capacity
from niah.tokens.splice import is_canonical
from tests.helpers.configs import built
from tests.helpers.readings import MANY, material, source
from tests.helpers.tokenizers import load_tokenizer

NAMES = ("smollm2", "llama4", "gemma3")
each_tokenizer = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    for name in NAMES:
        load_tokenizer(name)  # from the user's cache
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))


@each_tokenizer
@pytest.mark.parametrize(("split", "overlap"), [("fixed", 0), ("fixed", 40), ("sentence", 0), ("sentence", 40)])
@pytest.mark.parametrize("language", ["en", "zh-Hans"])
def test_chunks_cover_the_context_and_most_are_the_sources_own(name, language, split, overlap):
    made, _, _ = material(name, language, 9000, (30,))
    cutter = Cutter(made.tokenizer, 128, overlap, split == "sentence")
    found = collect(made, cutter)
    assert found.starts[0] == 0 and found.stops[-1] == len(made.ids)
    assert (found.starts[1:] <= found.stops[:-1]).all() and (np.diff(found.starts) > 0).all()
    assert (found.stops - found.starts <= 128).all() and (found.stops - found.starts > 0).all()
    if not overlap:
        assert (found.starts[1:] == found.stops[:-1]).all()
    seen = set(found.fresh.tolist())
    for known in found.known:
        starts, stops = made.blocks.chunks(known.block, cutter)
        for start, stop, number in zip(starts, stops, known.numbers, strict=True):
            if number >= 0:
                assert np.array_equal(made.blocks.ids[start:stop], made.ids[found.starts[number] : found.stops[number]])
                seen.add(int(number))
    assert seen == set(range(len(found)))
    assert len(found.fresh) <= 14
    assert found.texts == tuple(made.tokenizer.decode(made.ids[found.starts[n] : found.stops[n]]) for n in found.fresh)
    assert not any("\ufffd" in text for text in found.texts)


def test_chunks_of_a_source_of_several_blocks_do_not_depend_on_the_context():
    ids = np.tile(source("smollm2", "en"), 3)[: 2 * BLOCK + 5000]
    cutter = Cutter(load_tokenizer("smollm2"), 256, 0, True)
    whole = Blocks(ids, cutter.tokenizer)
    ranges = np.concatenate([np.stack(whole.chunks(block, cutter), axis=1) for block in range(3)])
    assert ranges[0, 0] == 0 and ranges[-1, 1] == len(ids) and (ranges[1:, 0] == ranges[:-1, 1]).all()
    made, _, _ = material("smollm2", num_tokens=BLOCK + 3000, ids=ids, depths=(90,), start=BLOCK // 2)
    found = collect(made, cutter)
    assert {known.block for known in found.known} == {0, 1} and len(found.fresh) < 15 < len(found) / 10


def test_a_source_that_goes_round_gives_its_chunks_again():
    tokenizer = load_tokenizer("smollm2")
    ids = source("smollm2", "en")[:4000]
    held = corpus.Corpus(Noise(), "", ids, len(ids), 1, (), None, tokenizer)
    stretch = held.stretch(15_000, np.random.default_rng(1), tokenizer)
    assert len(stretch.segments) >= 4
    for start, stop, at in stretch.segments:
        assert np.array_equal(ids[start:stop], stretch.ids[at : at + stop - start])
    made, _, _ = material("smollm2", num_tokens=6000)
    made = dataclasses.replace(made, stretch=stretch)
    assert sum(stop - start for start, stop, _ in stretch.segments) > 0.97 * len(stretch.ids)


def split_depths(name: str, language: str, **settings) -> tuple[list[int], int]:
    """Depths whose needle no chunk has whole, and how many there are of all kinds."""
    found, total = [], 0
    for depth in range(4, 97, 4):
        made, _, _ = material(name, language, 3000, (depth,))
        chunks = collect(made, Cutter(made.tokenizer, 64, **settings))
        (start, stop), total = made.needles[0], total + 1
        if not ((chunks.starts <= start) & (stop <= chunks.stops)).any():
            found.append(depth)
    return found, total


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
@pytest.mark.parametrize("language", ["en", "zh-Hans"])
def test_a_needle_at_a_border_is_split_unless_chunks_overlap_or_end_with_sentences(name, language):
    depths, total = split_depths(name, language)
    assert 0 < len(depths) < total / 2
    assert split_depths(name, language, overlap=32)[0] == []
    assert split_depths(name, language, by_sentence=True)[0] == []
    made, _, problem = material(name, language, 3000, (depths[0],))
    settings = {"chunk_tokens": 64, "top_k": 1}
    view = BM25(split="fixed", **settings).read(made.context, problem, made)
    assert view.retrieval.needles == ("split",) and view.kept == (False,) and view.needles == (None,)
    for mended in (BM25(split="sentence", **settings), BM25(split="fixed", overlap_tokens=32, **settings)):
        view = mended.read(made.context, problem, made)
        assert view.retrieval.needles == ("whole",) and view.kept == (True,)
    both = BM25(split="fixed", neighbours=1, **settings).read(made.context, problem, made)
    assert both.retrieval.needles == ("whole",)  # what follows in the text is joined again


@each_tokenizer
@pytest.mark.parametrize("language", ["en", "zh-Hans"])
@pytest.mark.parametrize(
    "reader",
    [
        BM25(chunk_tokens=100, top_k=3),
        BM25(chunk_tokens=100, split="fixed", overlap_tokens=30, top_k=4, order="rank"),
        Dense(chunk_tokens=300, top_k=6, neighbours=1), Hybrid(chunk_tokens=100, budget=700), Oracle(), NoContext(),
    ],
    ids=lambda reader: f"{reader.name} {getattr(reader, 'order', '')}",
)
def test_prompts_are_exact(name, language, reader):
    made, frame, problem = material(name, language, 5000, (40,))
    view = reader.read(made.context, problem, made)
    sent = template.render(made.tokenizer, frame, view, problem, 32)
    tokenizer, shown = made.tokenizer, made.tokenizer.decode(sent.ids)
    assert is_canonical(tokenizer, sent.ids)
    assert problem.question in shown and len(sent.spans) == sum(view.kept) == 1 - sent.num_missing
    for start, stop in sent.spans:
        assert problem.needles[0] in tokenizer.decode(sent.ids[start:stop])
        assert stop - start <= len(tokenizer.encode(" " + problem.needles[0]).ids) + 3
    assert (problem.needles[0] in shown) == view.kept[0]
    if view.retrieval:
        ranges = np.array([chunk[:2] for chunk in view.retrieval.chunks], dtype=np.int64)
        if reader.neighbours == 0:
            parts = merged(ranges) if reader.order == "document" else ranges
            assert SEPARATOR.join(tokenizer.decode(made.ids[start:stop]) for start, stop in parts) in shown
        scores = [chunk[2] for chunk in view.retrieval.chunks]
        assert scores == sorted(scores, reverse=True)


def test_none_has_no_needle_and_oracle_has_them_all_in_the_order_of_the_text():
    made, frame, problem = material("smollm2", problem=MANY, depths=(80, 20, 50))
    nothing = template.render(made.tokenizer, frame, NoContext().read(made.context, problem, made), problem, 32)
    assert nothing.spans == () and nothing.num_missing == 3 and "4827" not in made.tokenizer.decode(nothing.ids)
    everything = template.render(made.tokenizer, frame, Oracle().read(made.context, problem, made), problem, 32)
    text = made.tokenizer.decode(everything.ids)
    assert SEPARATOR.join(problem.needles[n] for n in (1, 2, 0)) in text
    planted = [made.tokenizer.decode(everything.ids[start:stop]) for start, stop in everything.spans]
    assert all(needle in text for needle, text in zip(problem.needles, planted, strict=True))
    with pytest.raises(NiahError, match="reader=oracle: this task plants nothing"):
        Oracle().read(made.context, dataclasses.replace(problem, text="a b c"), made)


def test_budget_is_filled_and_never_exceeded():
    made, frame, problem = material("llama4", num_tokens=8000)
    empty = len(template.render(made.tokenizer, frame, NoContext().read(made.context, problem, made), problem, 32).ids)
    for budget in (256, 1000, 2048, 5000, 20_000):
        for order in ("document", "rank"):
            reader = BM25(budget=budget, order=order, split="fixed")
            view = reader.read(made.context, problem, made)
            used = len(template.render(made.tokenizer, frame, view, problem, 32).ids) - empty
            assert used <= min(budget, len(made.ids)) + 2
            assert used > min(budget, len(made.ids) - 256, 256 * len(view.retrieval.chunks)) - 300
            assert used <= reader.max_tokens(len(made.ids), 0) + 2


def test_a_context_that_fits_the_budget_is_read_as_it_is():
    made, frame, problem = material("smollm2", num_tokens=1500)
    view = Dense(budget=4000).read(made.context, problem, made)
    sent = template.render(made.tokenizer, frame, view, problem, 32)
    assert np.array_equal(sent.ids, made.whole.ids)


@pytest.mark.parametrize("reader", ["none", "oracle", "bm25", "dense", "route"])
def test_what_is_read_decides_what_fits(reader, monkeypatch):
    monkeypatch.delenv("NIAH_CACHE")  # the haystack may be there already
    words = ["haystack=noise", "ctx.lengths=[1k,256k]", "ctx.depths=[0,100]", "ctx.repeats=2", "reader.budget=1k"]
    run = built(*(words if reader not in ("none", "oracle") else words[:-1]), f"reader={reader}")
    (fit,), recipe = capacity.check(run).values(), Recipe(run)
    if reader == "route":  # its second step reads everything
        reason = "above the limit of smollm2_135m; got 262,144; expected at most 8,192 (model.max_length)"
        assert fit.unfit == recipe.unfit == {2**18: f"ctx.lengths[1]: {reason}"}
        trials = [trial for trial in recipe.trials if trial.length < 2**18]
        assert recipe.max_read(trials) == 1024
    else:
        assert fit.unfit == recipe.unfit == {} and recipe.max_read(recipe.trials) < 1024 + 200
        trials = recipe.trials
    recipe.check(without=recipe.unfit)
    for trial in trials:
        made = recipe.build(trial)
        assert len(made.prompt.ids) + made.prompt.max_tokens <= recipe.num_read(trial)


def test_route_asks_again_where_the_text_is_said_not_to_hold_the_answer():
    made, _, problem = material("smollm2", num_tokens=1500)
    reader = Route(budget=4000)
    view = reader.read(made.context, problem, made)
    assert "unanswerable" in view.instruction and sum(map(len, view.pieces)) < len(made.ids)
    assert reader.then("4827163") is None
    for said in ("Unanswerable.", "<think>hm</think> unanswerable", "The text does not mention it."):
        assert reader.then(said).name == "full"
    assert reader.then("<think>unanswerable?</think>4827163") is None


def test_the_index_is_made_once_and_only_where_it_is_read(tmp_path):
    calls = []

    def make(texts):
        calls.append(len(texts))
        return {"sizes": np.array([len(text) for text in texts])}

    ids = np.tile(source("smollm2", "en"), 3)[: 3 * BLOCK]
    tokenizer = load_tokenizer("smollm2")
    cutter = Cutter(tokenizer, 256)
    first = Blocks(ids, tokenizer).made(1, cutter, "test", make)
    assert len(calls) == 1 and isinstance(first["sizes"].base, np.memmap)
    longer = Blocks(np.concatenate([ids, ids]), tokenizer)  # the same block of a source that goes on
    assert np.array_equal(longer.made(1, cutter, "test", make)["sizes"], first["sizes"]) and len(calls) == 1
    Blocks(ids, tokenizer).made(1, Cutter(tokenizer, 200), "test", make)
    Blocks(ids, tokenizer).made(1, cutter, "another model", make)
    Blocks(ids[1:], tokenizer).made(1, cutter, "test", make)
    assert len(calls) == 4
    assert len(list((tmp_path / "cache" / "indexes").glob("*/meta.json"))) == 4


@pytest.mark.parametrize("harm", ["label", "array", "meta"])
def test_a_stored_index_of_other_settings_or_a_damaged_one_is_made_anew(tmp_path, harm):
    assert stored("indexes", "right", lambda: {"a": np.arange(3)})["a"].tolist() == [0, 1, 2]
    (place,) = (tmp_path / "cache" / "indexes").glob("*/")
    meta = json.loads((place / "meta.json").read_text())
    if harm == "label":
        (place / "meta.json").write_text(json.dumps({**meta, "label": "other settings"}))
    elif harm == "meta":
        (place / "meta.json").write_text("{")
    else:
        (place / "a.npy").write_bytes(b"torn")
    assert stored("indexes", "right", lambda: {"a": np.arange(4)})["a"].tolist() == [0, 1, 2, 3]
    assert stored("indexes", "right", lambda: {"a": np.arange(5)})["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 100}, "reader.budget: smaller than a chunk; got 100; expected at least 256"),
        ({"budget": 300, "neighbours": 1}, "smaller than a chunk with its neighbours; got 300; expected at least 768"),
        ({"overlap_tokens": 200}, "reader.overlap_tokens: got 200; expected at most 128"),
        ({"top_k": 0}, "reader.top_k: got 0; expected at least 1"), ({"order": "x"}, "reader.order"),
        ({"split": "paragraph"}, "reader.split: got 'paragraph'; expected sentence or fixed"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(NiahError, match=message):
        BM25(**settings)


def test_what_cannot_be_searched_is_refused():
    marks = Problem(("A fact.",), "?!", ("fact",))
    made, _, problem = material("smollm2", problem=marks)
    with pytest.raises(NiahError, match="no word to search for in the question"):
        BM25().read(made.context, problem, made)
    ids = load_tokenizer("smollm2").encode("… — !?\n" * 3000).ids
    made, _, problem = material("smollm2", ids=ids, problem=Problem((), "Which?", ("x",)), depths=())
    with pytest.raises(NiahError, match="the context holds no words that could be searched for"):
        BM25().read(made.context, problem, made)
