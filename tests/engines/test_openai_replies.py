"""engine=openai against a server that misbehaves in every way reported: each reply becomes its right row."""

from collections import Counter

from tests.helpers.command import rows
from tests.helpers.http_server import folder
from tests.helpers.misbehaviour import WAYS, Misbehaving

_GRID = (
    "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[50]", f"ctx.repeats={2 * len(WAYS)}", "name=a",
    "model.answer_prefix=false", "report.formats=[svg]", "engine.timeout_seconds=4",
    "engine.timeout_seconds_per_1k=0", "engine.max_retries=0", "engine.cold_check=0",
)


def test_every_misbehaviour_is_its_own_row_and_nothing_else_is_lost(niah, tmp_path):
    words = (*_GRID, "engine.concurrency=8")
    with Misbehaving() as server:
        done = niah(*words, *server.words)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
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
