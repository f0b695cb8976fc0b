"""Embeddings and rerankers that a server runs, chunkers of the user's own; what a server may do wrong."""

import numpy as np
import pytest

from niah.errors import NiahError, ServiceError
from niah.readers.bm25 import BM25
from niah.readers.dense import Dense
from niah.readers.hybrid import Hybrid
from niah.readers.retrieval.characters import Characters
from niah.readers.retrieval.chunker import Chunker
from niah.readers.retrieval.views import SEPARATOR
from tests.helpers.reader_servers import ReaderServer, overlap, vector
from tests.helpers.readings import material
from tests.helpers.tokenizers import load_tokenizer

ONCE = {"max_retries": 0, "timeout_seconds": 1.0}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    load_tokenizer("smollm2")  # from the user's cache
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))


class Paragraphs(Chunker):
    def chunks(self, text):
        return text.split("\n\n")


class Sentences(Chunker):
    def chunks(self, text):
        return text.split(". ")


class Whole(Chunker):
    def chunks(self, text):
        return text


class Nested(Chunker):
    """Every third paragraph, and behind it its first sentence again."""

    def chunks(self, text):
        for paragraph in [one for one in text.split("\n\n") if one.count(". ") > 1][::3]:
            yield paragraph
            yield paragraph.partition(". ")[2]


class Broken(Chunker):
    def chunks(self, text):
        return 1 / 0


class Invented(Chunker):
    def chunks(self, text):
        return ["a text of its own"]


def read(reader):
    made, _, problem = material("smollm2", "en")
    return reader.read(made.context, problem, made), made, problem


def texts_shown(made, view):
    return [piece if isinstance(piece, str) else made.tokenizer.decode(piece) for piece in view.pieces]


def texts_of(made, retrieval):
    return [made.tokenizer.decode(made.ids[start:stop]) for start, stop, _ in retrieval.chunks]


def test_dense_ranks_by_the_vectors_of_a_server():
    with ReaderServer() as server:
        reader = Dense(url=f"{server.url}/v1", chunk_tokens=128, top_k=4, batch=7, query_prefix="query: ")
        view, made, problem = read(reader)
        asked = np.array(vector(f"query: {problem.question}"))
        chunks = [np.array(vector(text)) for text in texts_of(made, view.retrieval)]
        cosines = [chunk @ asked / np.linalg.norm(chunk) / np.linalg.norm(asked) for chunk in chunks]
        assert np.allclose([score for *_, score in view.retrieval.chunks], cosines, atol=1e-5)
        sent = server.asked("/v1/embeddings")
        assert {body["model"] for body in sent} == {"words"} and max(len(body["input"]) for body in sent) == 7
        num_sent = len(sent)
        read(reader)
        again = server.asked("/v1/embeddings")[num_sent:]
        assert sum(len(body["input"]) for body in again) < 12  # the source's chunks are in the cache, not the needle's
    assert Hybrid(url=f"{server.url}/v1").asks_a_server and not BM25().asks_a_server
    assert f"at {server.url}/v1" in reader.identity()  # without asking: the server is gone


def test_a_reranker_on_a_server_orders_the_first_chunks():
    with ReaderServer() as server:
        reader = BM25(rerank_url=f"{server.url}/v1", rerank="judge", rerank_top=6, chunk_tokens=128, top_k=4)
        view, _, problem = read(reader)
        (body,) = server.asked("/v1/rerank")
    assert body["model"] == "judge" and body["query"] == problem.question and len(body["documents"]) == 6
    best = sorted((overlap(problem.question, text) for text in body["documents"]), reverse=True)
    assert [score for *_, score in view.retrieval.chunks] == [pytest.approx(score, abs=1e-6) for score in best[:4]]
    assert view.kept == (True,)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (500, r"reader.url: http://127.0.0.1:\d+/v1 answers /embeddings with HTTP 500: out of order"),
        (400, "with HTTP 400: out of order"), ("closed", "does not answer /embeddings"),
        ("hang", "gave no whole answer to /embeddings within 1 s"), ("<html>", "with no JSON object: <html>"),
        ([], "with no JSON object"), ({}, "gives NoneType for 1 texts"), ({"data": []}, "a list of 0 for 1 texts"),
        ({"data": [{"index": 0}]}, "results without index or embedding"),
        ({"data": [{"index": 1, "embedding": [1.0]}]}, "results without index or embedding"),
        ({"data": [{"index": 0, "embedding": "AAAA"}]}, "no lists of"),
        ({"data": [{"index": 0, "embedding": [1.0, None]}]}, "no lists of"),
        ({"data": [{"index": 0, "embedding": []}]}, "no lists of"),
        ('{"data": [{"index": 0, "embedding": [NaN]}]}', "no lists of finite numbers"),
        ({"data": [{"index": 0, "embedding": [10**400]}]}, "no lists of"),
        ({"data": [{"index": [0], "embedding": [1.0]}]}, "results without index or embedding"),
        ({"data": [{"index": False, "embedding": [1.0]}]}, "results without index or embedding"),
        ({"data": [{"index": 0, "embedding": [1e300, 1.0]}]}, r"a number as large as 1e\+300; expected less than"),
        ({"data": [{"index": 0, "embedding": [1.0, -1e15]}]}, r"a number as large as 1e\+15; expected less than"),
    ],
    ids=str,
)
def test_what_a_server_of_embeddings_does_wrong_is_one_line(fault, message):
    with ReaderServer(fault=fault) as server, pytest.raises(ServiceError, match=message) as found:
        read(Dense(url=f"{server.url}/v1", model="words", **ONCE))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"results": [{"index": 0, "relevance_score": 10**400}]}, "scores that are no finite numbers"),
        ({"results": [{"index": {}, "relevance_score": 0.5}]}, "results without index or relevance_score"),
        ({"results": [{"index": 10**400, "relevance_score": 0.5}]}, "results without index or relevance_score"),
        ({"results": [{"index": 0, "relevance_score": [1]}]}, "scores that are no finite numbers"),
    ],
    ids=str,
)
def test_what_a_reranker_does_wrong_is_one_line(fault, message):
    with ReaderServer(fault=fault) as server, pytest.raises(ServiceError, match=message) as found:
        read(BM25(rerank_url=f"{server.url}/v1", rerank="words", rerank_top=1, **ONCE))
    assert "\n" not in str(found.value)


def test_the_name_of_a_model_with_half_a_character_is_kept_whole():
    with ReaderServer(models=("words\ud800",)) as server:
        reader = Dense(url=f"{server.url}/v1", **ONCE)
        assert read(reader)[0].kept == (True,)
        assert server.asked("/v1/embeddings")[0]["model"] == "words\ufffd"


def test_vectors_of_another_size_and_scores_that_are_none():
    short = {"data": [{"index": number, "embedding": [1.0]} for number in range(64)]}
    with ReaderServer(fault=short, since=1) as server, pytest.raises(ServiceError, match="of 1 dimensions; expected"):
        read(Dense(url=f"{server.url}/v1", model="words", chunk_tokens=32, **ONCE))
    scores = {"results": [{"index": number, "relevance_score": True} for number in range(2)]}
    with ReaderServer(fault=scores) as server, pytest.raises(ServiceError, match="that are no finite numbers"):
        read(BM25(rerank_url=f"{server.url}/v1", rerank="words", rerank_top=2, **ONCE))
    with ReaderServer(models=("a", "b")) as server, pytest.raises(ServiceError, match="models: a, b; expected one"):
        read(Dense(url=f"{server.url}/v1", **ONCE))


def test_it_is_asked_again_and_its_key_is_masked(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-0123456789abcdef")
    with ReaderServer(key="sk-0123456789abcdef") as server:
        assert read(Dense(url=f"{server.url}/v1", api_key_env="MY_KEY"))[0].kept == (True,)
        with pytest.raises(ServiceError, match="HTTP 401") as found:
            monkeypatch.setenv("MY_KEY", "sk-1123456789abcdef")
            read(Dense(url=f"{server.url}/v1", api_key_env="MY_KEY", batch=3))
    assert "1123456789" not in str(found.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "host:8000"}, r"reader.url: got 'host:8000'; expected an address, as http://host:8000/v1"),
        ({"url": "http://me:secret@host/v1"}, "reader.url: holds a name or password"),
        ({"url": "http://host/v1?key=1"}, r"got 'http://host/v1\?\*\*\*' \(it holds \?\); expected an address"),
        ({"url": "http://host/v1", "api_key_env": "sk-12"}, "reader.api_key_env: got what is no variable's name"),
        ({"api_key_env": "MY_KEY"}, "reader.api_key_env: names a key, but there is no server to send it to"),
        ({"rerank_key_env": "MY_KEY"}, "reader.rerank_key_env: names a key, but there is no server"),
        ({"query_prefix": "query: "}, "reader.query_prefix, reader.chunk_prefix: are for a server"),
        ({"rerank_url": "ftp://host"}, "reader.rerank_url: got 'ftp://host'"),
        ({"model": " "}, "reader.model: got nothing; expected wordllama, a folder or the name of a model"),
        ({"timeout_seconds": 0}, "reader.timeout_seconds: got 0; expected above 0"),
    ],
    ids=str,
)
def test_impossible_settings(settings, message):
    with pytest.raises(NiahError, match=message):
        Dense(**settings)


def test_impossible_weights_of_bm25():
    with pytest.raises(NiahError, match=r"reader.k1: got -1; expected at least 0"):
        BM25(k1=-1.0)
    with pytest.raises(NiahError, match=r"reader.b: got 9; expected 0 to 1"):
        BM25(b=9.0)


@pytest.mark.parametrize(("name", "language"), [("smollm2", "zh-Hans"), ("llama4", "en"), ("gemma3", "en")])
def test_characters_and_tokens_agree(name, language):
    made, _, _ = material(name, language)
    characters = Characters(made.tokenizer, made.ids)
    assert characters.text == made.tokenizer.decode(made.ids)
    for start in range(0, len(made.ids) - 40, 617):
        first, last = characters.characters(start, start + 40)
        part = made.tokenizer.decode(made.ids[start : start + 40]).strip("\ufffd")
        assert part in characters.text[max(0, first - 1) : last + 1]
        low, high = characters.tokens(first, last)
        assert 0 <= start - low <= 4 and 0 <= high - start - 40 <= 4  # of a character that several tokens share all


def test_a_chunker_of_ones_own_cuts_the_text():
    reader = BM25(chunker=f"{__name__}.Paragraphs", chunk_tokens=2048, top_k=2)
    view, made, _ = read(reader)
    paragraphs = {one.strip() for one in made.characters.text.split("\n\n")}
    assert view.kept == (True,) and len(view.retrieval.chunks) == 2
    for text in texts_of(made, view.retrieval):
        assert text.strip() in paragraphs
    assert read(Dense(chunker=f"{__name__}.Sentences", chunk_tokens=512))[0].retrieval.chunks


@pytest.mark.parametrize("order", ["document", "rank"])
def test_neighbours_of_chunks_that_hold_each_other_are_shown_whole(order):
    settings = {"chunker": f"{__name__}.Nested", "chunk_tokens": 512, "top_k": 3, "order": order}
    alone, made, _ = read(BM25(**settings))
    view, *_ = read(BM25(**settings, neighbours=1))
    text, given = "".join(map(str, texts_shown(made, view))), list(Nested().chunks(made.characters.text))
    for start, stop, _ in view.retrieval.chunks:
        assert made.tokenizer.decode(made.ids[start:stop]).strip() in text
    parts = [part.strip() for part in text.split(SEPARATOR)]
    assert len(parts) > 2 and all(any(part in one for one in given) for part in parts)  # no text between two chunks
    assert read(BM25(**settings, neighbours=10**30))[0].kept == (True,)
    assert alone.retrieval.chunks == view.retrieval.chunks
    assert len(made.tokenizer.encode(text).ids) <= BM25(**settings, neighbours=1).max_tokens(10**6, 0)


@pytest.mark.parametrize(
    ("chunker", "message"),
    [
        ("Whole", "gives one str; expected a list of texts; mend that class"),
        ("Broken", "ended with ZeroDivisionError: division by zero; mend that class"),
        ("Invented", r"chunk 0 \('a text of its own'\) does not stand in the text"),
        ("Missing", r"reader.chunker: got '[\w.]+Missing' \(module .* has no attribute 'Missing'\)"),
        ("ReaderServer", "it is no subclass of niah.readers.retrieval.chunker.Chunker"),
    ],
)
def test_a_chunker_that_is_none_is_one_line(chunker, message):
    with pytest.raises(NiahError, match=message):
        read(BM25(chunker=f"{__name__}.{chunker}"))
    with pytest.raises(NiahError, match=r"reader.chunk_tokens: got 16; expected at least \d+, the tokens of chunk 0"):
        read(BM25(chunker=f"{__name__}.Paragraphs", chunk_tokens=16))
