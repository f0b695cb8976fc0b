"""Qdrant as a retriever beside the long context (docs/readers.md): paragraphs by the cosine of WordLlama's vectors.

    pip install qdrant-client wordllama
    python benchmarks/retrievers/qdrant_service.py 9000 [http://127.0.0.1:6333]      in its own process, or on a server
    python -m niah -m reader=full,service reader.url=http://127.0.0.1:9000
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import wordllama
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

CLIENT = QdrantClient(url=sys.argv[2]) if len(sys.argv) > 2 else QdrantClient(":memory:")
MODEL = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


def index(body: dict[str, Any]) -> dict[str, Any]:
    parts = [(one["id"], part) for one in body["documents"] for part in one["text"].split("\n\n") if part.strip()]
    vectors = MODEL.embed([part for _, part in parts], norm=True)
    if not CLIENT.collection_exists(body["id"]):
        CLIENT.create_collection(body["id"], VectorParams(size=vectors.shape[1], distance=Distance.COSINE))
    CLIENT.upsert(body["id"], [
        PointStruct(id=number, vector=vector.tolist(), payload={"document": name, "text": part})
        for number, ((name, part), vector) in enumerate(zip(parts, vectors, strict=True))
    ])
    return {"chunks": len(parts)}


def retrieve(body: dict[str, Any]) -> dict[str, Any] | None:
    if not CLIENT.collection_exists(body["id"]):
        return None
    asked = MODEL.embed([body["question"]], norm=True)[0].tolist()
    found = CLIENT.query_points(body["id"], query=asked, limit=body["k"]).points
    return {"passages": [{**one.payload, "score": one.score} for one in found]}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {"/index": index, "/retrieve": retrieve}[self.path](body)
        content = json.dumps(answer or {"error": "no such context"}).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
