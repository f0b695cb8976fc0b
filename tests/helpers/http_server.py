"""A small OpenAI-compatible server over real sockets that answers from its prompt and misbehaves when asked to."""

import json
import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.helpers.tokenizers import load_tokenizer

_NUMBER = re.compile(r"\b\d{7}\b")
_ABSOLUTE = re.compile("^http://[^/]+")
_TEMPLATE = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
GRID = ("haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[0,25,50,75,100]", "name=a", "report.formats=[svg]")


class Loopback:
    """A server of a test on a port of this machine, while its block runs. ``port`` is 0 for any, ``certificate`` a PEM
    file for TLS. The handler of a request knows its server as ``own``."""

    certificate = ""
    port = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), type("Handler", (self.handler(),), {"own": self}))
        self._http.daemon_threads = True
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def words(self) -> tuple[str, ...]:
        return ("engine=openai", f"engine.base_url=http://127.0.0.1:{self.port}/v1")


@dataclass
class Server(Loopback):
    """``faults`` maps the number of a prompt (the short ones of the greeting do not count) to what goes wrong with it:

    429, 429-long, 429-date, 500, hang, half, closed, garbage, count; refused, echo and echoed-event repeat the key
    where a message is cut. -1 is every prompt of the greeting. ``takes_ids`` false leaves chat alone;
    ``extra_tokens`` is what its count of a chat has too many, ``text_tokens`` that of a text, None where it takes
    none. ``tokenizer`` counts both. ``at_once`` requests are waited for before the first is answered. ``key`` is the
    one it wants, ``certificate`` a PEM file for TLS. ``card`` and ``pages`` are what it says of itself. It ``keeps`` so
    many of a prompt's tokens, counts what it ``caches`` once only, calls its model another name from the prompt
    ``renamed_at`` on, and ``thinks`` these words before each answer.
    """

    faults: dict[int, str] = field(default_factory=dict)
    takes_ids: bool = True
    extra_tokens: int = 0
    text_tokens: int | None = None
    tokenizer: str = "smollm2"
    cached_tokens: int = 0
    tells_usage: bool = True
    key: str = ""
    card: dict = field(default_factory=lambda: {"id": "smol", "owned_by": "vllm", "max_model_len": 8192})
    pages: dict[str, str] = field(default_factory=lambda: {"/version": '{"version": "9.9"}'})
    seconds: float = 0.0
    at_once: int = 0
    die_after: int | None = None
    port: int = 0
    certificate: str = ""
    keeps: int | None = None
    caches: bool = False
    renamed_at: int | None = None
    thinks: str = ""
    bodies: list[dict] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _Handler

    def took(self, body: dict) -> int:
        """The number of a prompt; -1 for the short ones of the greeting."""
        with self._lock:
            if body["max_tokens"] == 1:
                return -1
            self.bodies.append(body)
            self.times.append(time.monotonic())
            return len(self.bodies) - 1

    def count_running(self, change: int) -> None:
        with self._lock:
            self.running += change
            self.most_running = max(self.most_running, self.running)

    def wait_for_others(self) -> None:
        """Returns as soon as ``at_once`` requests have been there together, or after 20 seconds."""
        stop = time.monotonic() + 20
        while self.most_running < self.at_once and time.monotonic() < stop:
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    own: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        own = self.own
        if self._is_denied():
            return
        self.path = _ABSOLUTE.sub("", self.path)  # a proxy is given the whole address
        if self.path == "/v1/models":
            self._send(200, json.dumps({"object": "list", "data": [own.card]}))
        elif self.path in own.pages:
            self._send(200, own.pages[self.path])
        else:
            self._send(404, "{}")

    def do_POST(self) -> None:
        own = self.own
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self._is_denied():
            return
        self.path = _ABSOLUTE.sub("", self.path)
        is_chat = self.path == "/v1/chat/completions"
        takes = is_chat or (own.takes_ids if isinstance(body["prompt"], list) else own.text_tokens is not None)
        if not takes:
            why = {"message": "prompt must be a list of token ids"} if own.takes_ids else "no such way"
            self._send(400, json.dumps({"error": why}))
            return
        number = own.took(body)
        fault = own.faults.get(number, "")
        if own.die_after is not None and number >= own.die_after:
            fault = "closed"
            threading.Thread(target=own._http.shutdown).start()
            own._http.socket.close()
        self._answer(body, is_chat, fault)

    def _answer(self, body: dict, is_chat: bool, fault: str) -> None:
        own = self.own
        tokenizer = load_tokenizer(own.tokenizer)
        if fault.startswith("429"):
            later = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
            asked = {"429": "1", "429-long": "3600", "429-date": later}[fault]
            self._send(429, '{"error": {"message": "slow down"}}', {"Retry-After": asked})
            return
        if fault == "500":
            self._send(500, "it fell over")
            return
        if fault == "refused":
            self._send(400, json.dumps({"error": {"message": "x" * 290 + own.key}}))
            return
        if fault == "echo":
            self._send(200, "x" * 70 + own.key)
            return
        if fault == "closed":
            self.close_connection = True
            return
        own.count_running(1)
        time.sleep(30 if fault == "hang" else own.seconds)
        own.wait_for_others()
        own.count_running(-1)  # before the reply: whoever has it may send the next
        if is_chat:
            text = body["messages"][-1]["content"]
            num_prompt = len(tokenizer.reference(_TEMPLATE.format(text))) + own.extra_tokens
        elif isinstance(body["prompt"], str):
            text, more = body["prompt"], own.text_tokens or 0
            num_prompt = len(tokenizer.reference(text)) + more
        else:
            text, num_prompt = tokenizer.decode(body["prompt"]), len(body["prompt"])
        if own.keeps is not None and num_prompt > own.keeps:
            text, num_prompt = text[len(text) * (num_prompt - own.keeps) // num_prompt :], own.keeps
        if own.caches and len(own.bodies) > 1:
            num_prompt = 40
        found = _NUMBER.findall(text)
        answer = found[-1] if found else "none"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        is_renamed = own.renamed_at is not None and len(own.bodies) > own.renamed_at
        name = "" if own.renamed_at is None else "new" if is_renamed else "old"
        for place, piece in enumerate((own.thinks + answer[:3], answer[3:])):
            if fault == "half" and place:
                return
            self._event({"model": name, "choices": [self._choice(piece, is_chat, None)]})
        if fault == "garbage":
            self.wfile.write(b"data: {oops\n\n")
            return
        if fault == "echoed-event":
            self.wfile.write(f"data: {'x' * 70}{own.key}\n\n".encode())
            return
        self._event({"choices": [self._choice("", is_chat, "stop")]})
        if own.tells_usage:
            counted = num_prompt - 7 if fault == "count" else num_prompt
            cached = {"cached_tokens": own.cached_tokens}
            usage = {"prompt_tokens": max(1, counted), "completion_tokens": 2, "prompt_tokens_details": cached}
            self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    @staticmethod
    def _choice(text: str, is_chat: bool, reason: str | None) -> dict:
        return {"index": 0, "finish_reason": reason, **({"delta": {"content": text}} if is_chat else {"text": text})}

    def _event(self, content: dict) -> None:
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def _is_denied(self) -> bool:
        own, given = self.own, self.headers.get("authorization", "")
        if not own.key or given == f"Bearer {own.key}":
            return False
        message = f"Incorrect API key provided: {given.removeprefix('Bearer ')}"
        self._send(401, json.dumps({"error": {"message": message}}))
        return True

    def _send(self, status: int, text: str, headers: dict | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        own = {"content-type": "application/json", "content-length": str(len(data))}
        for name, value in {**own, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def folder(tmp_path: Path) -> Path:
    """The run folder of a run called a, as GRID names it."""
    return tmp_path / "outputs" / "a"


def record(tmp_path: Path) -> dict:
    return json.loads((folder(tmp_path) / "run.json").read_text())
