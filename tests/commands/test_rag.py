"""RAG or the long context: what ``rag`` counts, concludes and refuses."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from niah.commands.rag import prices
from niah.commands.rag.gather import gather
from niah.commands.rag.measure import measure
from niah.commands.rag.rag import rag
from niah.commands.rag.settings import RagSettings
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.report import rag_advice
from niah.report.rag_pareto import Point, front
from niah.stats import cells, misses
from niah.stats.comparison import Answers, comparisons
from niah.stats.costs import cost
from niah.stats.crossing import crossings
from tests.helpers.command import is_one_line
from tests.helpers.runs import ROW, grid, rows, run

LENGTHS = (1024, 4096, 8192)
BM25 = {"name": "bm25", "chunk_tokens": 128, "budget": 512, "top_k": 8}


def reader_run(
    path: Path, reader: dict | str, right, *, repeats=8, lengths=LENGTHS, salt="", change=lambda row: {}, **config
) -> str:
    """A finished run of one reader; ``change`` gives further fields of each row."""
    reader = {"name": reader} if isinstance(reader, str) else reader
    made = rows(grid(repeats, lengths, (25.0, 75.0)), right, reader=reader["name"])
    made = [
        dataclasses.replace(row, **{
            "context_sha256": f"{salt}{row.length} {row.depth} {row.repeat}", "num_prompt_tokens": row.length - 32,
            "targets": [str(row.repeat)], "retrieved": [[0, 128, 1.0]] if "top_k" in reader else [],
            **change(row),
        })
        for row in made
    ]
    return run(path, made, reader=reader, **config)


def unfit(row: Row) -> dict:
    return {"outcome": "does-not-fit", "score": None, "num_prompt_tokens": 0, "targets": [], "context_sha256": ""}


def reported(*paths: str, words=()) -> tuple[str, dict]:
    out = Path(paths[0]).parent / "out"
    lines = rag(paths, [f"rag.out={out}", "rag.hardware=null", "report.formats=[svg]", *words])
    return "\n".join(lines), json.loads((out / "rag.json").read_text())


def test_misses_are_counted_as_by_hand():
    def row(score, kept, retrieved, needed=None, **fields):
        return dataclasses.replace(
            ROW, score=score, outcome="correct" if score == 1 else "wrong", needles_kept=kept,
            needles_retrieved=retrieved, num_needed=needed, **fields,
        )

    given = [
        row(1, [True], ["whole"]),
        row(1, [False], ["missed"]),  # right without
        row(0, [True], ["whole"]),  # not read
        row(0, [False], ["split"]),
        row(0, [False, False], ["split", "missed"]),  # one missed: missed
        row(0, [True, False], ["whole", "missed"], 1),  # a distractor may be missed: not read
        row(0.5, [True, False], ["whole", "split"], 2),
        row(0, [True], ["missed"], route="long"),  # read the whole context in the end: not read
        row(0, [], [], 0),  # nothing planted
        dataclasses.replace(ROW, length=2048, outcome="engine-error", score=None),
    ]
    at_1k, everything = misses.by_length(given)
    assert (at_1k.length, everything.length) == (1024, 0) and dataclasses.replace(at_1k, length=0) == everything
    assert dataclasses.astuple(everything) == (0, 9, 2, 4, 2, 1, 1)
    assert everything.num_right + everything.reading + everything.retrieval == everything.num_answers


def sides(full: list[float], other: list[float], repeats: int) -> tuple[Answers, Answers]:
    """Accuracy by length, the same in each repeat of ten depths."""
    made = []
    for accuracies in (full, other):
        trials = [
            (step, depth, repeat, float(depth < 10 * accuracy))
            for step, accuracy in enumerate(accuracies) for repeat in range(repeats) for depth in range(10)
        ]
        length, depth, repeat, score = map(np.array, zip(*trials, strict=True))
        made.append(Answers(1024 * 2**length, depth.astype(float), repeat, score, np.full(len(score), np.nan)))
    return made[0], made[1]


@pytest.mark.parametrize(("full", "other", "better", "not_worse"), [
    ([1, 1, 0.5, 0], [0.8, 0.8, 0.8, 0.8], 4096, 4096),
    ([1, 0.5, 1, 0], [0.8, 0.8, 0.8, 0.8], 8192, 8192),  # better once is not from there on
    ([1, 1, 1, 1], [0.5, 0.5, 0.5, 0.5], None, None),
    ([0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], 1024, 1024),
    ([1, 1, 1, 1], [1, 1, 1, 1], None, 1024),
])
@pytest.mark.parametrize("repeats", [4, 30])
def test_crossing_length_where_it_is_known(full, other, better, not_worse, repeats):
    pair = sides(full, other, repeats)
    found = crossings(*pair, comparisons([(*pair, True)], 0.95)[0], 0.02, 0.95)
    assert [(one.condition, one.length) for one in found] == [("better", better), ("not worse", not_worse)]
    for one in found:
        is_drawn = repeats == 30 and one.condition == "better"  # all repeats alike: every sample is the same
        assert ("bootstrap of 30" in one.method) == is_drawn
        place = [*one.lengths, None].index
        assert place(one.low) <= place(one.length) <= place(one.high)
        assert not is_drawn or one.low == one.length == one.high


def test_crossing_interval_is_as_wide_as_repeats_differ():
    full, other = sides([1, 1, 1, 0], [0.5, 0.5, 0.5, 0.5], 30)
    score = np.where((full.length == 4096) & (full.repeat % 2 == 0), 0.0, full.score)  # even repeats lose at 4K
    full = dataclasses.replace(full, score=score)
    better = crossings(full, other, comparisons([(full, other, True)], 0.95)[0], 0.02, 0.95)[0]
    assert (better.low, better.high) == (4096, 8192)


def test_from_rows_to_sentences(tmp_path):
    full = reader_run(
        tmp_path / "full", "full", lambda t: t.length < 4096 or t.repeat < 1,
        change=lambda row: unfit(row) if row.length == 8192 else {},
    )
    bm25 = reader_run(tmp_path / "bm25", BM25, lambda t: t.repeat > 0, change=lambda row: {
        "num_prompt_tokens": 500, "needles_kept": [row.score == 1],
        "needles_retrieved": ["whole" if row.score == 1 else "split"],
    })
    none = reader_run(tmp_path / "none", "none", lambda t: t.repeat == 0)
    text, content = reported(full, bm25, none)
    assert "does not fit" in next(line for line in text.splitlines() if line.startswith("full  "))
    (task,) = content["tasks"]
    by_name = {one["label"]: one for one in task["readers"]}
    assert list(by_name) == ["full", "none", "bm25 512"] and by_name["full"]["does_not_fit"] == [8192]
    assert by_name["full"]["cells"]["8192"]["n"] == 0 and by_name["full"]["cells"]["8192"]["mean"] is None  # never 0
    assert by_name["bm25 512"]["misses"]["all"] | {"length": 0} == {
        "length": 0, "num_answers": 48, "num_right": 42, "reading": 0, "split": 6, "missed": 0, "right_without": 0,
    }
    assert by_name["bm25 512"]["against_full"]["overall"]["num_pairs"] == 32 and task["shared_lengths"] == [1024, 4096]
    assert [one["length"] for one in by_name["bm25 512"]["crossings"]] == [4096, 4096]
    assert (task["num_questions"], task["num_known"], task["num_dropped"]) == (8, 1, 0)
    assert "answerable without the context: 1 of 8 questions; rag.drop_known=true leaves them out" in text
    (sentence,) = task["sentences"]
    assert sentence == text.splitlines()[-1]
    assert sentence.startswith(("for t: bm25 512 ", "for t: against the full context bm25 512 "))
    assert " better " not in sentence and "bm25 512: not shown: better than full from 4K on [1K, none]" in text
    for part in (
        "it reads 12% of the tokens at 4K and 6.1% of the tokens at 8K",
        "6 of 48 answers are wrong: 6 not retrieved", "full does not fit from 8K on, bm25 512 has 0.88 [",
    ):
        assert part in sentence, part
    written = {"rag.json", "curve.svg", "pareto.svg", "report.html", "report.json"}
    assert {f.name for f in (tmp_path / "out").iterdir()} == written
    svg = (tmp_path / "out" / "curve.svg").read_text()
    assert all(f">{words}<" in svg for words in ("the full context does not fit", "bm25 512"))
    assert "ring: better" not in svg


def test_a_crossing_that_is_shown_is_in_sentence_table_and_picture(tmp_path):
    full = reader_run(tmp_path / "full", "full", lambda t: t.length < 4096 or t.repeat < 1, repeats=12)
    bm25 = reader_run(tmp_path / "bm25", BM25, lambda t: t.repeat > 0, repeats=12)
    text, content = reported(full, bm25)
    better = content["tasks"][0]["readers"][1]["crossings"][0]
    assert (better["condition"], better["length"], better["is_shown"]) == ("better", 4096, True)
    assert "; better from 4K on [1K, 4K]; " in text.splitlines()[-1] and "not shown: better" not in text
    assert "ring: better than full from here on" in (tmp_path / "out" / "curve.svg").read_text()


def test_known_questions_are_dropped_from_all_readers(tmp_path):
    paths = [reader_run(tmp_path / name, reader, lambda t: True) for name, reader in (("full", "full"), ("bm25", BM25))]
    none = reader_run(tmp_path / "none", "none", lambda t: t.repeat < 3, lengths=(1024,))  # asked at one length alone
    text, content = reported(*paths, none, words=["rag.drop_known=true"])
    readers = {one["label"]: one for one in content["tasks"][0]["readers"]}
    assert readers["full"]["cells"]["8192"]["n"] == readers["bm25 512"]["cells"]["8192"]["n"] == 10
    assert readers["none"]["cells"]["shared"]["mean"] == 0 and "3 left out of everything" in text
    everything = reader_run(tmp_path / "all", "none", lambda t: True)
    with pytest.raises(NiahError, match=r"rag.drop_known: all 8 questions of t are answered right without the context"):
        reported(*paths, everything, words=["rag.drop_known=true"])


def test_not_worse_at_any_length_is_said(tmp_path):
    readers = {"full": "full", "bm25": BM25}
    paths = [reader_run(tmp_path / name, reader, lambda t: True, repeats=40) for name, reader in readers.items()]
    text, _ = reported(*paths, words=["rag.margin=0.1"])
    assert "for t: bm25 512 is not worse than the full context by 10 points at any length (+0.0 [" in text
    text, _ = reported(*paths, words=["rag.margin=0.001"])
    assert "bm25 512 is +0.0 [" in text and "a loss of 0.1 points cannot be ruled out" in text
    paths = [reader_run(tmp_path / f"{name}2", reader, lambda t: True, repeats=2) for name, reader in readers.items()]
    text, _ = reported(*paths)
    assert "2 repeats cannot say more" in text


def test_a_loss_is_said(tmp_path):
    full = reader_run(tmp_path / "full", "full", lambda t: True)
    text, _ = reported(full, reader_run(tmp_path / "bm25", BM25, lambda t: t.repeat < 1))
    assert "for t: against the full context bm25 512 loses 87.5 points [" in text
    assert "better nowhere up to 8K [none, none]" in text


def test_tasks_and_budgets_stand_side_by_side(tmp_path):
    folder = tmp_path / "sweep"
    for task in ("single", "aggregate"):
        config = {"task": {"name": task}}
        readers = {"full": "full", "b1": BM25, "b4": {**BM25, "budget": 4096}, "top": {**BM25, "budget": 0}}
        for name, reader in readers.items():
            own = folder / f"{task}-{name}"
            reader_run(own, reader, lambda t: True, change=lambda row, task=task: {"task": task}, **config)
    reader_run(folder / "alone", "full", lambda t: True, task={"name": "qa"})
    lines = rag([str(folder)], ["rag.hardware=null", "report.formats=[svg]"])
    assert f"note: {folder}/alone: left out, no other reader of qa" in lines
    content = json.loads((folder / "rag" / "rag.json").read_text())
    labels = [[one["label"] for one in task["readers"]] for task in content["tasks"]]
    assert labels == [["full", "bm25 top 8", "bm25 512", "bm25 4K"]] * 2
    pictures = {f"{kind}-{task}.svg" for kind in ("curve", "pareto") for task in ("single", "aggregate")}
    assert {file.name for file in (folder / "rag").iterdir()} == {"rag.json", "report.html", "report.json", *pictures}
    assert sum(line.startswith("for single: ") for line in lines) == 3


def test_runs_of_other_instances_are_refused(tmp_path):
    full = reader_run(tmp_path / "full", "full", lambda t: True)
    cases = {
        "salt": ({"salt": "x"}, r"saw other contexts at 1K, depth 25%, repeat 0; expected the same"),
        "lengths": ({"lengths": (2048,)}, r"no answered trial in common: .*full has 1K, 4K, 8K; .*lengths has 2K"),
        "seed": ({"seed": 1}, r"differ in seed \(None and 1\); expected runs that differ in reader alone"),
        "task": ({"task": {"name": "other"}}, r"2 runs \(reader bm25, full\) have nothing in common"),
        "old": ({"change": lambda row: {"context_sha256": ""}}, r"rows without context_sha256, of an older niah"),
        "failed": ({"change": lambda row: unfit(row)}, r"failed: no trial has an answer"),
    }
    for name, (changes, message) in cases.items():
        with pytest.raises(NiahError, match=message):
            gather([full, reader_run(tmp_path / name, BM25, lambda t: True, **changes)])
    only_one = r"only one reader \(full\); expected two or more, as python -m niah -m reader=full,bm25"
    with pytest.raises(NiahError, match=only_one):
        gather([full])
    with pytest.raises(NiahError, match="have the same reader and settings"):
        gather([full, reader_run(tmp_path / "again", "full", lambda t: True)])
    with pytest.raises(NiahError, match=r"no run here; expected a folder with run.json, or a folder of such folders"):
        gather([str(tmp_path / "nothing")])


@pytest.mark.parametrize(("word", "message"), [
    ("rag.hardware=abacus", "rag.hardware: got 'abacus'; expected one of a100_40"),
    ("rag.margin=2", "rag.margin: got 2; expected a share"),
    ("rag.cost=time", "rag.cost: got 'time'; expected one of tokens, seconds, dollars"),
    ("rag.foo=1", "rag.foo: unknown key"),
    ("rag.confidence=1", "rag.confidence: got 1; expected 0.5"),
    ("margin=1", "expected rag.key=value or report.key=value"),
])
def test_bad_settings_are_one_line(tmp_path, word, message):
    with pytest.raises(NiahError, match=message):
        rag([str(tmp_path)], [word])


def test_dollars_are_the_plans_seconds_times_the_price():
    model = {"name": "s", "path": "x/y", "architecture": "llama4_scout", "max_length": 10485760}
    record = RunRecord(config={"model": model, "kv": {"dtype": "bfloat16"}})
    price = prices.price(record, prices.machine("8xh100"), 2**20)
    given = [
        dataclasses.replace(
            ROW, length=65536, num_prompt_tokens=1000, route="rag", retrieval_seconds=0.5, first_token_seconds=1.0,
            index_seconds=2.0,
        ),
        dataclasses.replace(ROW, length=65536, num_prompt_tokens=1000 + 65504, route="long", index_seconds=0.1),
    ]
    found = cost(given, 32, price)
    assert found.dollars == pytest.approx((2 * price(1000) + price(65504)) / 2)
    assert price(65504) > 65.5 * price(1000) > 0
    assert found.tokens == (2000 + 65504) / 2 and found.share == pytest.approx((2000 + 65504) / 2 / 65504)
    assert (found.first_token_seconds, found.index_once_seconds, found.index_seconds) == (1.5, 2.0, 1.05)
    of_half = prices.price(record, prices.machine("4xh100"), 2**20)
    assert 0.7 * price(1000) < of_half(1000) < price(1000)  # half the GPUs, less than twice the time: they talk less
    with pytest.raises(NiahError, match=r"model.architecture: not given for s"):
        unknown = RunRecord(config={"model": {"name": "s", "path": "x/y", "max_length": 8192}})
        prices.price(unknown, prices.machine("h100"), 8192)


def test_the_stairs_join_what_nothing_cheaper_beats():
    def point(name, cost, mean):
        return Point(name, name, cost, dataclasses.replace(cells.overall([ROW]), mean=mean))

    given = [
        point("full", 8000, 0.9), point("bm25", 500, 0.9), point("dense", 510, 0.8), point("none", 50, 0.1),
        point("rerank", 900, 0.95),
    ]
    assert [one.label for one in front(given)] == ["none", "bm25", "rerank"]


@pytest.mark.slow
def test_the_whole_way_with_the_fake_engine(niah, tmp_path):
    done = niah(
        "experiment=rag_vs_long", "engine=fake", "engine.window=3000", "ctx.lengths=[1k,4k,16k]", "ctx.repeats=3",
        "outputs=o", "report.formats=[svg]", "hydra.sweeper.params.task=single",
        "hydra.sweeper.params.reader='full,none,oracle,bm25,route'",
    )
    assert done.returncode == 0, done.stderr
    done = niah("rag", "o", "report.formats=[svg]", "rag.cost=dollars")
    assert done.returncode == 0, done.stderr
    (task,) = json.loads((tmp_path / "o" / "rag" / "rag.json").read_text())["tasks"]
    found = {one["label"]: one for one in task["readers"]}
    assert list(found) == ["full", "oracle", "none", "bm25 512", "route 512"]
    assert [found["full"]["cells"][length]["mean"] for length in ("1024", "4096")] == [1, 1]
    assert found["full"]["does_not_fit"] == [16384]
    assert found["oracle"]["cells"]["shared"]["mean"] == 1 and found["none"]["cells"]["shared"]["mean"] == 0
    assert found["bm25 512"]["against_full"]["overall"]["num_pairs"] == 6
    assert found["bm25 512"]["cost"]["16384"]["share"] < 0.04
    assert found["bm25 512"]["cost"]["4096"]["dollars"] < found["full"]["cost"]["4096"]["dollars"] / 5
    refused = niah("rag", "o", "rag.hardware=abacus")
    assert refused.returncode == 1 and is_one_line(refused)
    assert measure(gather([str(tmp_path / "o")])[0][0], RagSettings(), None).num_repeats == 3


@pytest.mark.parametrize(("full", "bm25", "floor", "repeats", "advice"), [
    (lambda t: t.length < 4096, lambda t: t.repeat > 1, True, 16,
     r"take bm25 512: \+54.2 \[.*\] points against the whole context over 1K to 8K, from 16 repeats; better from 4K on "
     r"\[1K, 4K\]; it reads 11% of the tokens; without any context 0.00 \[0.00, .*\]\.$"),
    (lambda t: True, lambda t: True, False, 16,
     r"take bm25 512: a loss of 20 points against the whole context is ruled out over 1K to 8K \(.*0.0 \[.*\] points, "
     r"from 16 repeats\), and it reads 11% of the tokens\.$"),
    (lambda t: True, lambda t: t.repeat > 11, False, 16,
     r"take the whole context: the best of the others, bm25 512, is -75.0 \[.*\] points from it over 1K to 8K"),
    (lambda t: t.repeat % 3 > 0, lambda t: t.repeat % 2 > 0, False, 12,
     r"undecided: bm25 512 is -16.7 \[.*\] points from the whole context over 1K to 8K, from 12 repeats, so neither is "
     r"shown to be better; .*; bm25 512 reads 11% of the tokens, which decides where a loss of up to \d+\.\d points"),
    (lambda t: True, lambda t: False, False, 2, r"none yet, as 2 repeats are too few for a test; expected at least 6"),
])
def test_the_advice_says_no_more_than_was_found(full, bm25, floor, repeats, advice, tmp_path):
    paths = [
        reader_run(tmp_path / "full", "full", full, repeats=repeats),
        reader_run(tmp_path / "bm25", BM25, bm25, repeats=repeats, change=lambda row: {"num_prompt_tokens": 500}),
    ]
    if floor:
        paths.append(reader_run(tmp_path / "none", "none", lambda t: False, repeats=repeats))
    text, content = reported(*paths, words=["rag.questions_per_day=2000", "rag.margin=0.2"])
    said, costs = content["tasks"][0]["advice"]
    assert re.match(f"advice: {advice}", said), said
    assert said in text.splitlines() and said in (tmp_path / "out" / "report.html").read_text()
    assert costs == (
        "2,000 questions a day at 8K: full 16.3M tokens; bm25 512 1M tokens (no dollars, as no machine was named that "
        "has a price for this model)."
    )


def test_the_advice_names_lengths_where_the_whole_context_does_not_fit(tmp_path):
    full = reader_run(
        tmp_path / "full", "full", lambda t: t.repeat > 1, change=lambda row: unfit(row) if row.length == 8192 else {}
    )
    bm25 = reader_run(tmp_path / "bm25", BM25, lambda t: t.repeat > 1)
    said, costs = reported(full, bm25)[1]["tasks"][0]["advice"]
    assert "; from 8K on the whole context does not fit, and bm25 512 has 0.75 [" in said and " at 4K: full " in costs


def test_a_day_of_questions_in_dollars():
    one = cost([ROW], 32, lambda tokens: tokens / 1e6)
    said = rag_advice.daily([("full", one), ("bm25", cost([], 32, None))], 1024, 1000, "h100")
    assert said.startswith("1,000 questions a day at 1K: full 992K tokens, $0.99 (dollars of h100 for the seconds that")
