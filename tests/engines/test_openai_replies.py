"""engine=openai against a server that misbehaves in every way reported: each reply becomes its right row."""

from collections import Counter

import pytest

from tests.helpers.command import is_one_line, rows
from tests.helpers.http_server import GRID, Server, folder, record
from tests.helpers.misbehaviour import WAYS, Misbehaving

_GRID = (
    "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[50]", f"ctx.repeats={2 * len(WAYS)}", "name=a",
    "model.answer_prefix=false", "report.formats=[svg]", "engine.timeout_seconds=4",
    "engine.timeout_seconds_per_1k=0", "engine.max_retries=0", "engine.cold_check=0",
)


@pytest.mark.slow
def test_every_misbehaviour_is_its_own_row_and_nothing_else_is_lost(niah, tmp_path):
    words = (*_GRID, "engine.concurrency=8")
    with Misbehaving() as server:
        done = niah(*words, *server.words)
        assert done.returncode == 5 and "Traceback" not in done.stderr, done.stderr
        first = {row["targets"][0]: row for row in rows(folder(tmp_path))}
        assert len(WAYS) > 100 and len(first) == 2 * len(WAYS) == server.num_prompts
        found = {server.ways[answer]: row for answer, row in first.items() if answer in server.ways}
        for name, way in WAYS.items():
            row = found[name]
            print(f"{name:<50}{row['outcome']:<14}{row['error']}")
            assert row["outcome"] == way.outcome and way.words in row["error"], (name, row["outcome"], row["error"])
        assert {row["outcome"] for answer, row in first.items() if answer not in server.ways} == {"correct"}
        expected = Counter(way.outcome for way in WAYS.values()) + Counter(correct=len(WAYS))
        assert Counter(row["outcome"] for row in first.values()) == expected
        assert f"{expected['engine-error']} of {2 * len(WAYS)} trials ended without an answer" in done.stderr
        again = niah(*words, *server.words)
    assert again.returncode == 0, again.stderr
    last = {row["targets"][0]: row for row in rows(folder(tmp_path))}
    kept = {answer: row for answer, row in first.items() if row["outcome"] != "engine-error"}
    assert len(last) == 2 * len(WAYS) and all(last[answer] == row for answer, row in kept.items())
    assert {row["outcome"] for answer, row in last.items() if answer not in kept} == {"correct"}


_CHAT = {"takes_ids": False, "card": {"id": "any", "owned_by": "somebody"}, "pages": {}}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "words"), [
    ({"keeps": 950}, "950 tokens of 992, by its own count of a short prompt: it cut the prompt to its own limit"),
    ({"caches": True}, "it may leave out what its prefix cache held; if so, engine.min_counted=0"),
])
def test_a_chat_that_was_not_read_whole_is_no_answer(niah, tmp_path, fault, words):
    with Server(**_CHAT, **fault) as server:
        done = niah(*GRID, *server.words, "model.answer_prefix=false")
        found = rows(folder(tmp_path))
        failed = [row for row in found if row["outcome"] == "engine-error"]
        assert done.returncode == 5 and any(words in row["error"] for row in failed), [row["error"] for row in failed]
        assert {row["length"] for row in failed} == ({1024} if "keeps" in fault else {512, 1024})
        assert {row["outcome"] for row in found} == {"correct", "engine-error"}
        if "caches" in fault:
            trusting = niah(*GRID, *server.words, "model.answer_prefix=false", "name=b", "engine.min_counted=0")
            assert trusting.returncode == 0, trusting.stderr


@pytest.mark.slow
def test_another_model_midway_stops_the_run_and_keeps_its_rows(niah, tmp_path):
    with Server(renamed_at=6) as server:
        done = niah(*GRID, *server.words, "engine.concurrency=2")
        assert done.returncode == 1 and "changed its model: its replies name old, then new" in done.stderr, done.stderr
        found = rows(folder(tmp_path))
        assert [row["served"]["reply_model"] for row in found] == ["old"] * len(found)
        outcomes = Counter(row["outcome"] for row in found)
        assert 4 <= outcomes["correct"] <= 6 and 1 <= outcomes["engine-error"] <= 2 and len(found) < 10
        again = niah(*GRID, *server.words, "engine.concurrency=2")
    assert again.returncode == 1 and "reply_model (there old, now new)" in again.stderr
    assert [row for row in rows(folder(tmp_path)) if row["outcome"] == "correct"] == [
        row for row in found if row["outcome"] == "correct"
    ]


@pytest.mark.slow
def test_a_budget_for_thinking_is_part_of_the_length(niah, tmp_path):
    with Server(thinks="<think>Is it 1111111? No.</think>") as server:
        assert niah(*GRID, *server.words, "model.thinking_budget=96").returncode == 0
    assert {(len(body["prompt"]), body["max_tokens"]) for body in server.bodies} == {(384, 128), (896, 128)}
    found = rows(folder(tmp_path))
    assert {(row["outcome"], row["response"], row["thinking"]) for row in found} == {
        ("correct", found[0]["targets"][0], "Is it 1111111? No.")
    }
    assert all(row["num_thinking_tokens"] > 5 for row in found) and record(tmp_path)["plan"]["answer_tokens"] == 128
    shown = niah("show", "outputs/a", "--trial", "3")
    assert "of these tokens, not judged: Is it 1111111? No." in shown.stdout, shown.stderr


def test_a_budget_for_thinking_that_leaves_no_prompt_is_one_line(niah):
    done = niah("engine=fake", "haystack=noise", "ctx.lengths=[512,4k]", "model.thinking_budget=1k")
    assert done.returncode == 1 and is_one_line(done)
    assert "model.thinking_budget: got 1,024 tokens of ctx.lengths=512" in done.stderr
