"""LlamaIndex as a retriever beside the long context (docs/readers.md): its splitter of sentences and its BM25.

    pip install llama-index-core llama-index-retrievers-bm25
    python benchmarks/retrievers/llamaindex_service.py 9000
    python -m niah -m reader=full,service reader.url=http://127.0.0.1:9000
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llama_index.core import Document
from llama_index.core.node_parser import SentenceSplitter
from llama_index.retrievers.bm25 import BM25Retriever

SPLITTER = SentenceSplitter(chunk_size=256, chunk_overlap=0)
RETRIEVERS: dict[str, BM25Retriever] = {}


def index(body: dict[str, Any]) -> dict[str, Any]:
    documents = [Document(text=one["text"], id_=one["id"]) for one in body["documents"]]
    nodes = SPLITTER.get_nodes_from_documents(documents)
    RETRIEVERS[body["id"]] = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=len(nodes))
    return {"chunks": len(nodes)}


def retrieve(body: dict[str, Any]) -> dict[str, Any] | None:
    if body["id"] not in RETRIEVERS:
        return None
    found = RETRIEVERS[body["id"]].retrieve(body["question"])[: body["k"]]
    return {"passages": [{"text": one.text, "score": one.score, "document": one.node.ref_doc_id} for one in found]}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {"/index": index, "/retrieve": retrieve}[self.path](body)
        content = json.dumps(answer or {"error": "no such context"}, default=float).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
