"""Runs with a reader that asks a server: what becomes of a run while it is gone, and of what it said."""

import json

import pytest

from tests.helpers.command import rows
from tests.helpers.reader_servers import ReaderServer

FAKE = ("engine=fake", "haystack=noise", "ctx.lengths=[2k]", "engine.window=100k", "name=a")


@pytest.mark.slow
def test_a_run_goes_on_where_its_server_was_gone_and_is_shown_without_it(niah, tmp_path):
    words = (
        "reader=bm25", "reader.chunk_tokens=64", "reader.top_k=3", "reader.max_retries=0",
        "ctx.depths=[10,30,50,70,90]",
    )
    with ReaderServer() as server:
        url = f"reader.rerank_url={server.url}/v1"
        assert niah(*FAKE, "ctx.depths=[50]", *words[:-1], url).returncode == 0
        num_asked = len(server.bodies)
        server.fault, server.since = 503, num_asked + 2
        done = niah(*FAKE, *words, url)
        assert done.returncode == 1 and "HTTP 503: out of order; 3 trials in a row" in done.stderr, done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("niah: ")]) == 1
        failed = [row for row in rows(tmp_path / "outputs" / "a") if row["outcome"] == "engine-error"]
        assert len(failed) == 3 and all("HTTP 503" in row["error"] and row["score"] is None for row in failed)
        server.fault = None
        done = niah(*FAKE, *words, url, "kv=[bf16,fp8]")
        assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "outputs" / "a")
    assert len(found) == 10 and {row["outcome"] for row in found} == {"correct"}
    by_trial: dict[int, set] = {}
    for row in found:
        by_trial.setdefault(row["trial"], set()).add((row["prompt_sha256"], str(row["retrieved"])))
    assert all(len(prompts) == 1 for prompts in by_trial.values())
    shown = niah("show", "outputs/a", "--trial", "3")
    assert shown.returncode == 0 and "verified" in shown.stdout, shown.stderr


def test_a_chunker_of_a_folder_is_found_and_a_stored_run_may_not_name_any(niah, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cutting.py").write_text(
        "from niah.readers.retrieval.chunker import Chunker\n\n\nclass Lines(Chunker):\n"
        "    def chunks(self, text):\n        return text.split('\\n')\n"
    )
    words = ("reader=bm25", "reader.chunker=cutting.Lines", "reader.chunk_tokens=2k", "reader.top_k=2")
    done = niah("--config-dir", "mine", *FAKE, *words, "ctx.depths=[50]")
    assert done.returncode == 0, done.stderr
    assert niah("--config-dir", "mine", "show", "outputs/a").returncode == 0
    refused = niah("show", "outputs/a")
    assert refused.returncode == 1 and "reader.chunker: a stored run names 'cutting.Lines'" in refused.stderr


SERVICE = ("reader=service", "reader.top_k=3", "reader.budget=200", "reader.max_retries=0", "ctx.depths=[20,80]")


def test_a_retriever_elsewhere_stands_beside_the_long_context(niah, tmp_path):
    with ReaderServer() as server:
        words = (*FAKE[:-1], *SERVICE[1:], f"reader.url={server.url}", "outputs=outputs")
        done = niah("-m", *words, "reader=full,service")
        assert done.returncode == 0, done.stderr
        (index, asked, *_) = [body for path, body in server.bodies if path == "/index" or body["id"] in server.texts]
    both = {run[0]["reader"]: run for run in map(rows, (tmp_path / "outputs").glob("*/"))}
    assert both.keys() == {"full", "service"}
    assert [row["context_sha256"] for row in both["full"]] == [row["context_sha256"] for row in both["service"]]
    for row in both["service"]:
        assert row["outcome"] == "correct" and row["needles_retrieved"] == ["whole"] and len(row["retrieved"]) == 3
        assert all(set(one) == {"at", "score"} for one in row["passages"]) and row["num_prompt_tokens"] < 400
    assert json.dumps(index) and asked
    done = niah("rag", "outputs")
    assert done.returncode == 0 and "service" in done.stdout, done.stderr
    folder = next(path for path in (tmp_path / "outputs").glob("*service*"))
    shown = niah("show", str(folder), "--trial", "1")  # the service is gone
    assert shown.returncode == 0 and "verified" in shown.stdout and "needle 1: whole" in shown.stdout, shown.stderr


@pytest.mark.slow
def test_what_a_service_says_in_its_own_words_is_shown_again(niah, tmp_path):
    own = [{"text": "It is said that\nnobody knows. \ud83d", "document": 7}, {"text": "The second.", "score": 1}]
    with ReaderServer(passages=own) as server:
        done = niah(*FAKE, *SERVICE, f"reader.url={server.url}")
        assert done.returncode == 0, done.stderr
        server.passages = [{"text": "Today it says something else."}]
        done = niah(*FAKE, *SERVICE, f"reader.url={server.url}", "kv=[bf16,fp8]")
        assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "outputs" / "a")
    assert len(found) == 4 and len({row["prompt_sha256"] for row in found}) == 1
    assert {row["outcome"] for row in found} == {"absent-claimed"}
    first = {"text": "It is said that\nnobody knows. \ufffd", "document": "7"}
    assert all(row["passages"] == [first, {"text": "The second.", "score": 1.0}] for row in found)
    assert all(row["retrieved"][0] == [-1, -1, 0.0] and row["needles_retrieved"] == ["missed"] for row in found)
    shown = niah("show", "outputs/a")
    assert "verified" in shown.stdout and "not word for word in the context, score 1: The second." in shown.stdout


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"passages": []}, "gives no passage for the question 'What"),
        ("no JSON", "answers /retrieve with no JSON object"),
        (503, "answers /retrieve with HTTP 503: out of order"), ("closed", "does not answer /retrieve"),
    ],
    ids=str,
)
def test_a_service_that_does_not_serve_is_one_line_before_the_first_trial(niah, fault, message):
    with ReaderServer(fault=fault) as server:
        done = niah(*FAKE, *SERVICE, f"reader.url={server.url}")
    assert done.returncode == 1 and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
