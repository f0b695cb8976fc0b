"""A retriever that runs elsewhere: what it is sent, what is shown of its passages, what it may do wrong."""

import json
import socket
import subprocess
import sys

import pytest

from niah.errors import NiahError, ServiceError
from niah.prompts import template
from niah.readers.retrieval.passages import of_row
from niah.readers.retrieval.views import SEPARATOR
from niah.readers.service import Service
from niah.records import Problem
from tests.helpers.command import REPOSITORY
from tests.helpers.reader_servers import ReaderServer
from tests.helpers.readings import MANY, material

ONCE = {"max_retries": 0, "timeout_seconds": 1.0}


def shown(passages=None, fault=None, problem: Problem | None = None, depths=(50,), **settings):
    """The view of a reader whose service gives these passages, and the material."""
    made, frame, problem = material("smollm2", "en", 3000, depths, problem)
    with ReaderServer(passages=passages, fault=fault) as server:
        view = Service(url=server.url, **{**ONCE, **settings}).read(made.context, problem, made)
    text = "".join(view.pieces)
    prompt = template.render(made.tokenizer, frame, view, problem, 32)
    return view, made, text, prompt, server


def test_a_context_is_given_once_and_asked_for_by_its_name():
    made, _, problem = material("smollm2", "en", 3000)
    with ReaderServer() as server:
        reader = Service(url=f"{server.url}/", top_k=3)
        views = [reader.read(made.context, problem, made) for _ in range(2)]
        server.texts.clear()  # it was started again, and knows nothing any more
        views.append(reader.read(made.context, problem, made))
        assert [path for path, _ in server.bodies] == [
            "/retrieve", "/index", "/retrieve", "/retrieve", "/retrieve", "/index", "/retrieve",
        ]
        (name,) = {body["id"] for _, body in server.bodies}
        assert server.asked("/retrieve")[0] == {"id": name, "question": problem.question, "k": 3, "max_tokens": 2048}
        assert server.asked("/index")[0] == {"id": name, "documents": [{"id": "0", "text": made.characters.text}]}
        Service(url=server.url, documents="paragraphs").read(made.context, problem, made)
        assert server.asked("/index")[-1]["id"] == server.asked("/retrieve")[-1]["id"] != name  # it is given otherwise
        parts = [one["text"] for one in server.asked("/index")[-1]["documents"]]
    assert len(parts) > 3 and all(one in made.characters.text and one.strip() for one in parts)
    assert views[0].retrieval.chunks == views[1].retrieval.chunks == views[2].retrieval.chunks
    assert views[0].kept == (True,)


def test_passages_are_shown_as_they_are_and_needles_found_in_them():
    needle = MANY.needles[1]
    own = f"Some say: {needle.replace(' ', chr(10), 3)} And more."
    view, made, text, prompt, _ = shown(
        [{"text": own, "score": 2}, {"text": "Nothing here."}], problem=MANY, depths=(20, 50, 80)
    )
    assert text == f"{own}{SEPARATOR}Nothing here." and view.kept == (False, True, False)
    ((start, stop),) = prompt.spans
    assert made.tokenizer.decode(prompt.ids[start:stop]).split() == needle.split()
    assert view.retrieval.chunks == ((-1, -1, 2.0), (-1, -1, 0.0)) and prompt.num_missing == 2
    assert view.retrieval.needles == ("missed", "whole", "missed")


def test_a_passage_that_stands_in_the_context_is_kept_by_its_place():
    made, _, problem = material("smollm2", "en", 3000)
    whole = made.characters.text
    at = whole.index(problem.needles[0])
    first, half = whole[at - 80 : at + 200], whole[at - 60 : at + 20]
    view, made, text, _, _ = shown([{"text": half, "document": "a"}, {"text": first, "score": 0.5}], order="document")
    assert text == f"{first}{SEPARATOR}{half}" and view.kept == (True,) and view.retrieval.needles == ("whole",)
    assert [*map(of_row, view.retrieval.passages)] == [
        {"at": [at - 60, at + 20], "document": "a"}, {"at": [at - 80, at + 200], "score": 0.5},
    ]
    start, stop, _ = view.retrieval.chunks[1]
    assert first in made.tokenizer.decode(made.ids[start:stop]) and stop - start < 120
    view, *_ = shown([{"text": half}])
    assert view.kept == (False,) and view.retrieval.needles == ("split",)


def test_as_many_passages_are_shown_as_have_room():
    made, _, _ = material("smollm2", "en", 3000)
    parts = [{"text": made.characters.text[start : start + 400]} for start in range(0, 4000, 400)]
    view, made, text, _, _ = shown(parts, budget=256)
    assert 1 < len(view.retrieval.chunks) < 8 and len(made.tokenizer.encode(text).ids) <= 256
    assert len(shown(parts, budget=16000, top_k=2)[0].retrieval.chunks) == 2
    view, made, text, *_ = shown([{"text": made.characters.text}, *parts], budget=64)
    assert len(view.retrieval.chunks) == 1 and 50 < len(made.tokenizer.encode(text).ids) <= 64
    assert made.characters.text.startswith(text)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (500, r"reader.url: http://127.0.0.1:\d+ answers /retrieve with HTTP 500: out of order"),
        (404, "answers /index with HTTP 404"), (418, "HTTP 418"), ("hang", "no whole answer to /retrieve within 1 s"),
        ("closed", "does not answer /retrieve"), ("{", "no JSON object: {"), ("[1, 2]", r"no JSON object: \[1, 2\]"),
        ({}, r"without a list of passages \(nothing\)"), ({"results": []}, r"without a list of passages \(results\)"),
        ({"passages": ["text"]}, "without a list of passages"), ({"passages": []}, "gives no passage for the question"),
        ({"passages": [{"text": " \n"}]}, "gives passage 0 without text"),
        ({"passages": [{"text": "a"}, {"text": None}]}, "gives passage 1 without text"),
        ({"passages": [{"text": "a", "score": "high"}]}, "a score that is no finite number"),
        ('{"passages": [{"text": "a", "score": Infinity}]}', "a score that is no finite number"),
        ({"passages": [{"text": "a", "score": 10**400}]}, "a score that is no finite number"),
        ({"passages": [{"text": "a", "document": {}}]}, "a document that is no name"),
        ({"passages": [{"text": "a", "document": [1]}]}, "a document that is no name"),
    ],
    ids=str,
)
def test_what_a_service_does_wrong_is_one_line(fault, message):
    with pytest.raises(ServiceError, match=message) as found:
        shown(fault=fault)
    assert "\n" not in str(found.value)


def test_halves_of_characters_are_replaced():
    view, *_ = shown([{"text": "Nobody came \ud83d.", "document": "notes\udc00.md"}])
    (row,) = map(of_row, view.retrieval.passages)
    assert row == {"text": "Nobody came \ufffd.", "document": "notes\ufffd.md"} and json.dumps(row).encode()


def test_impossible_settings():
    with pytest.raises(NiahError, match=r"reader.url: got 'localhost:9000'; expected an address, as http://127"):
        Service(url="localhost:9000")
    with pytest.raises(NiahError, match=r"reader.budget: got 8; expected at least 16"):
        Service(url="http://host", budget=8)
    with pytest.raises(NiahError, match=r"reader.order: got 'best'; expected rank or document"):
        Service(url="http://host", order="best")


@pytest.mark.slow
@pytest.mark.parametrize(("service", "packages"), [
    ("llamaindex_service", ("llama_index.core", "llama_index.retrievers.bm25")), ("qdrant_service", ("qdrant_client",)),
])
def test_the_services_of_the_docs_find_the_needle(service, packages):
    for package in packages:
        pytest.importorskip(package)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = REPOSITORY / "benchmarks" / "retrievers" / f"{service}.py"
    process = subprocess.Popen([sys.executable, str(script), str(port)], stderr=subprocess.DEVNULL)
    try:
        made, _, problem = material("smollm2", "en", 3000)
        reader = Service(url=f"http://127.0.0.1:{port}", top_k=3, max_retries=9)  # it needs a while to start
        view = reader.read(made.context, problem, made)
    finally:
        process.kill()
        process.wait()
    assert view.kept == (True,) and len(view.retrieval.chunks) == 3
    assert all(one.place and one.score is not None for one in view.retrieval.passages)
