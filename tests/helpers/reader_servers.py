"""Servers that readers ask, over real sockets: embeddings and reranking by the words of a text, a retriever."""

import hashlib
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.helpers.http_server import Loopback

_WORD = re.compile(r"\w+")
NUM_DIMENSIONS = 256


def vector(text: str) -> list[float]:
    """How often each word stands in the text, words by hash."""
    places = Counter(hashlib.sha256(word.encode()).digest()[0] for word in _WORD.findall(text.casefold()))
    return [float(places[place]) for place in range(NUM_DIMENSIONS)]


def overlap(question: str, text: str) -> float:
    """The share of the question's words that stand in the text."""
    asked = {*_WORD.findall(question.casefold())}
    return len(asked & {*_WORD.findall(text.casefold())}) / len(asked)


@dataclass
class ReaderServer(Loopback):
    """POST /v1/embeddings and /v1/rerank, GET /v1/models; POST /index and /retrieve are a retriever of sentences.

    ``fault`` is what goes wrong with each request from number ``since`` on: an HTTP status, or what it answers instead;
    ``hang`` and ``closed`` answer nothing. ``passages`` are given for every question. ``key`` is the one it wants.
    """

    fault: Any = None
    since: int = 0
    key: str = ""
    models: tuple[str, ...] = ("words",)
    passages: Any = None
    bodies: list[tuple[str, dict]] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _Handler

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[dict]:
        return [body for where, body in self.bodies if where == path]

    def answer(self, path: str, body: dict) -> tuple[int, Any]:
        if path == "/v1/embeddings":
            found = [{"index": number, "embedding": vector(text)} for number, text in enumerate(body["input"])]
            return 200, {"data": found[::-1], "model": body["model"]}
        if path == "/v1/rerank":
            scores = [overlap(body["query"], text) for text in body["documents"]]
            found = [{"index": number, "relevance_score": score} for number, score in enumerate(scores)]
            return 200, {"results": sorted(found, key=lambda one: -one["relevance_score"])}
        if path == "/index":
            self.texts[body["id"]] = [document["text"] for document in body["documents"]]
            return 200, {}
        if path == "/retrieve":
            if body["id"] not in self.texts:
                return 404, {"error": "no such context"}
            return 200, {"passages": self.passages if self.passages is not None else self.best(body)}
        return 404, {"error": "no such page"}

    def best(self, body: dict) -> list[dict]:
        sentences = [one for text in self.texts[body["id"]] for one in re.split(r"(?<=\.)\s+", text) if one.strip()]
        ordered = sorted(sentences, key=lambda one: -overlap(body["question"], one))[: body["k"]]
        return [{"text": one, "score": overlap(body["question"], one)} for one in ordered]


class _Handler(BaseHTTPRequestHandler):
    own: ReaderServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": name} for name in self.own.models]})

    def do_POST(self) -> None:
        own = self.own
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with own._lock:
            own.bodies.append((self.path, body))
            fault = own.fault if len(own.bodies) > own.since else None
        if own.key and self.headers["authorization"] != f"Bearer {own.key}":
            self._send(401, {"error": {"message": f"no such key: {self.headers['authorization']}"}})
        elif fault == "hang":
            time.sleep(3)
            self.close_connection = True
        elif fault == "closed":
            self.close_connection = True
        elif isinstance(fault, int):
            self._send(fault, {"error": {"message": "out of order"}})
        elif fault is not None:
            self._send(200, fault)
        else:
            self._send(*own.answer(self.path, body))

    def _send(self, status: int, content: Any) -> None:
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
