"""A server on loopback that misbehaves in many ways, each with what a run has to make of it."""

import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.helpers.http_server import Loopback
from tests.helpers.tokenizers import load_tokenizer

_NUMBER = re.compile(r"\b\d{7}\b")
_SECONDS = 30
"""Longer than any deadline of a test."""


@dataclass(frozen=True)
class Asked:
    """A prompt as the server sees it: the right answer, and how many tokens it has."""

    answer: str
    num_tokens: int

    @property
    def usage(self) -> dict[str, Any]:
        return {"prompt_tokens": self.num_tokens, "completion_tokens": 5}


Raw = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Way:
    """``reply`` gives the bytes on the wire; ``outcome`` is right for them, and an error holds ``words``."""

    reply: Callable[[Asked], Raw]
    outcome: str
    words: str = ""


def http(body: bytes, kind: str = "application/json", status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join((*head, *headers, "", "")).encode() + body


def stream(body: bytes, kind: str = "text/event-stream") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode() + body


def event(content: Any) -> bytes:
    return b"data: " + (content if isinstance(content, bytes) else json.dumps(content).encode()) + b"\n\n"


DONE = event(b"[DONE]")


def piece(text: Any = "", reason: Any = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": reason, **more}]}


def delta(reason: Any = None, **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": message, "finish_reason": reason}]}


def end(asked: Asked, reason: Any = "stop") -> bytes:
    return event(piece("", reason)) + event({"choices": [], "usage": asked.usage}) + DONE


def streamed(*contents: Any) -> Callable[[Asked], bytes]:
    """Pieces of a stream, then a proper end. Text ANSWER stands for the right answer."""
    return lambda asked: stream(_filled(b"".join(map(event, contents)), asked) + end(asked))


def told(reason: Any, text: str = "The number is ANSWER.") -> Callable[[Asked], bytes]:
    """A stream that ends with this reason."""
    return lambda asked: stream(_filled(event(piece(text)), asked) + end(asked, reason))


def whole(choice: Any, **more: Any) -> Callable[[Asked], bytes]:
    """One JSON object with this choice."""
    return lambda asked: http(_filled(json.dumps({"choices": [choice], "usage": asked.usage, **more}).encode(), asked))


def body(content: Any, *, kind: str = "application/json", status: str = "200 OK") -> Callable[[Asked], bytes]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda asked: http(_filled(data, asked), kind, status)


def used(usage: Any) -> Callable[[Asked], bytes]:
    return lambda asked: stream(_filled(event(piece("ANSWER", "stop")), asked) + event({"choices": [], "usage": usage}))


def _filled(data: bytes, asked: Asked) -> bytes:
    return data.replace(b"ANSWER", asked.answer.encode())


def message(**content: Any) -> dict[str, Any]:
    return {"index": 0, "message": content, "finish_reason": "stop"}


def _lines(ending: bytes) -> Callable[[Asked], bytes]:
    def reply(asked: Asked) -> bytes:
        return stream((_filled(event(piece("ANSWER")), asked) + end(asked)).replace(b"\n", ending))

    return reply


def _bytewise(asked: Asked) -> Iterator[bytes]:
    for byte in stream(_filled(event(piece("ANSWER")), asked) + end(asked)):
        yield bytes([byte])


def _hang(asked: Asked) -> Iterator[bytes]:
    yield b""
    time.sleep(_SECONDS)


def _drip(asked: Asked) -> Iterator[bytes]:
    yield stream(b"")
    stop = time.monotonic() + _SECONDS
    while time.monotonic() < stop:
        yield event(piece("x"))
        time.sleep(0.2)


def _endless(asked: Asked) -> Iterator[bytes]:
    yield stream(b"")
    for _ in range(100_000):
        yield event(piece("x" * 2000))


def _endless_line(asked: Asked) -> Iterator[bytes]:
    yield stream(b"data: ")
    for _ in range(3_000):
        yield b"x" * 65_536


def _chunked(*chunks: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)
    )


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _gzipped(asked: Asked) -> bytes:
    data = gzip.compress(_filled(event(piece("ANSWER")), asked) + end(asked))
    return http(data, "text/event-stream", "200 OK", "Content-Encoding: gzip")


BOMB = gzip.compress(b'{"choices": "' + bytes(10**8), compresslevel=1)


DEEP = b'{"choices": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
_FALSE = "1111111"

WAYS: dict[str, Way] = {
    # right answers in odd clothes
    "text as a list of parts": Way(whole(message(content=[
        {"type": "text", "text": "The number is "}, {"type": "text", "text": "ANSWER"},
    ])), "correct"),
    "a part of thinking, then text": Way(whole(message(content=[
        {"type": "thinking", "thinking": [{"type": "text", "text": f"or {_FALSE}?"}]},
        {"type": "text", "text": "ANSWER"},
    ])), "correct"),
    "strings as parts": Way(whole(message(content=["ANS", "WER", " is it: ANSWER"])), "correct"),
    "an emoji split over two events": Way(streamed(piece("ANSWER \ud83d"), piece("\ude00")), "correct"),
    "a lone surrogate": Way(streamed(piece("\udc80 ANSWER")), "correct"),
    "bytes that are no UTF-8": Way(
        lambda asked: stream(event(_filled(json.dumps(piece("#ANSWER")).encode(), asked).replace(b"#", b"\xff\xfe "))
        + end(asked)), "correct"),
    "a byte order mark first": Way(
        lambda asked: stream(b"\xef\xbb\xbf" + _filled(event(piece("ANSWER")), asked) + end(asked)), "correct"),
    "NUL in the text": Way(streamed(piece("ANSWER \x00")), "correct"),
    "raw control characters in JSON": Way(
        lambda asked: http(_filled(b'{"choices": [{"text": "ANSWER \x01\t\n", "finish_reason": "stop"}]}', asked)),
        "correct"),
    "lines that end in CR LF": Way(_lines(b"\r\n"), "correct"),
    "lines that end in CR": Way(_lines(b"\r"), "correct"),
    "comments, ids, retry and event lines": Way(lambda asked: stream(
        b": ping\n\nretry: 10\nid: 7\nevent: message\n" + _filled(event(piece("ANSWER")), asked) + b":\n\n"
        + end(asked)), "correct"),
    "an event of several lines": Way(lambda asked: stream(
        b"data: " + _filled(json.dumps(piece("ANSWER"), indent=1).encode(), asked).replace(b"\n", b"\ndata: ")
        + b"\n\n" + end(asked)), "correct"),
    "no [DONE]": Way(
        lambda asked: stream(_filled(event(piece("ANSWER", "stop")), asked) + event({"usage": asked.usage})),
        "correct"),
    "[DONE] and no reason": Way(lambda asked: stream(_filled(event(piece("ANSWER")), asked) + DONE), "correct"),
    "events after [DONE]": Way(lambda asked: stream(
        _filled(event(piece("ANSWER")), asked) + end(asked) + event({"error": "late"}) + event(b"{")), "correct"),
    "a second choice": Way(lambda asked: http(_filled(json.dumps({"choices": [
        {"index": 0, "text": "ANSWER", "finish_reason": "stop"}, {"index": 0, "text": _FALSE, "finish_reason": "stop"},
    ]}).encode(), asked)), "correct"),
    "a second choice between": Way(streamed(
        piece("ANS"), {"choices": [{"index": 1, "text": f"{_FALSE}"}]}, piece(" ANSWER")), "correct"),
    "another id midway": Way(streamed({"id": "a", **piece("ANSWER")}, {"id": "b", **piece(".")}), "correct"),
    "error: null": Way(streamed({"error": None, **piece("ANSWER")}), "correct"),
    "usage: null": Way(used(None), "correct"),
    "usage of 0": Way(used({"prompt_tokens": 0, "completion_tokens": 0}), "correct"),
    "a stream called text/plain": Way(
        lambda asked: stream(_filled(event(piece("ANSWER")), asked) + end(asked), "text/plain"), "correct"),
    "a whole answer called a stream": Way(
        lambda asked: http(_filled(json.dumps(piece("ANSWER", "stop")).encode(), asked), "text/event-stream"),
        "correct"),
    "a whole answer though a stream was asked for": Way(
        whole({"text": "ANSWER", "finish_reason": "stop"}), "correct"),
    "one byte at a time": Way(_bytewise, "correct"),
    "the last event without its empty line": Way(
        lambda asked: stream(_filled(event(piece("ANSWER", "stop")), asked).rstrip(b"\n")), "correct"),
    "a reply in gzip": Way(_gzipped, "correct"),
    "cut off after the reason": Way(
        lambda asked: _chunked(_chunk(_filled(event(piece("ANSWER", "stop")), asked)), b"40\r\nda"), "correct"),
    "eos_token": Way(told("eos_token"), "correct"),
    "COMPLETE": Way(told("COMPLETE"), "correct"),
    "end_turn": Way(told("end_turn"), "correct"),
    "MAX_TOKENS": Way(told("MAX_TOKENS"), "correct"),
    "empty reasons before the last": Way(
        lambda asked: stream(_filled(event(piece("ANSWER", "")), asked) + end(asked)), "correct"),
    "reasoning_content beside the text": Way(
        streamed(delta(reasoning_content=f"is it {_FALSE}?"), delta(content="ANSWER")), "correct"),
    "two replies to one request": Way(lambda asked: http(
        _filled(json.dumps(piece("ANSWER", "stop")).encode(), asked)) + http(json.dumps(piece(_FALSE)).encode()),
        "correct"),
    "thinking, then the answer": Way(told("stop", f"[THINK]{_FALSE}?[/THINK]ANSWER"), "correct"),
    # the value stands in the thinking alone
    "right in [THINK] alone": Way(told("stop", f"[THINK]It says ANSWER.[/THINK]It is {_FALSE}."), "wrong"),
    "right in reasoning_content alone": Way(
        streamed(delta(reasoning_content="it is ANSWER"), delta(content=_FALSE)), "wrong"),
    "right in a part of thinking alone": Way(whole(message(content=[
        {"type": "thinking", "thinking": "ANSWER"}, {"type": "text", "text": _FALSE}])), "wrong"),
    # the budget ended before the answer
    "an open [THINK]": Way(told("length", "[THINK]It says ANSWER, or"), "truncated"),
    "an open analysis channel": Way(told("length", "<|channel|>analysis<|message|>It says ANSWER, or"), "truncated"),
    "an open <|channel>thought": Way(told("max_tokens", "<|channel>thought\nANSWER, or"), "truncated"),
    "reasoning_content cut by its budget": Way(
        lambda asked: stream(event(delta(reasoning_content="hm, 5")) + end(asked, "length")), "truncated"),
    "reasoning that is not shown, cut": Way(lambda asked: http(json.dumps({
        "choices": [{"message": {"content": None}, "finish_reason": "length"}],
        "usage": {**asked.usage, "completion_tokens_details": {"reasoning_tokens": 32}},
    }).encode()), "truncated"),
    # refusals
    "content_filter": Way(told("content_filter"), "refused"),
    "SAFETY": Way(told("SAFETY", ""), "refused"),
    "a refusal field": Way(whole(message(content=None, refusal="No.")), "refused"),
    # no answers: by their reason
    "abort": Way(told("abort"), "engine-error", "'abort'"),
    "error": Way(told("error"), "engine-error", "'error'"),
    "a reason of 3": Way(told(3), "engine-error", "int 3"),
    "a reason of [stop]": Way(told(["stop"]), "engine-error", "list ['stop']"),
    "an empty reason": Way(told(""), "engine-error", "finish reason ''"),
    "a reason of its own": Way(told("flow_control"), "engine-error", "'flow_control'"),
    "no reason in a whole answer": Way(whole({"text": "ANSWER", "finish_reason": None}), "engine-error", "before its"),
    # no answers: by their text
    "tool_calls": Way(whole({"message": {"content": None, "tool_calls": [{"id": "x"}]}, "finish_reason": "tool_calls"}),
                      "engine-error", "calls a tool"),
    "function_call": Way(whole(message(content=None, function_call={"name": "f"})), "engine-error", "calls a tool"),
    "no text": Way(whole({"index": 0, "finish_reason": "stop"}), "engine-error", "no text in it"),
    "null": Way(whole(message(content=None)), "engine-error", "no text in it"),
    "a stream without text": Way(
        lambda asked: stream(event(delta(role="assistant")) + event(delta("stop")) + DONE), "engine-error", "no text"),
    "only reasoning": Way(streamed(delta(content=""), delta(reasoning="it is ANSWER")), "engine-error", "only reason"),
    "text as a number": Way(streamed(piece(4829173)), "engine-error", "its text is int 4829173"),
    "text as an object": Way(streamed(piece({"value": "ANSWER"})), "engine-error", "its text is dict"),
    "a picture": Way(whole(message(content=[{"type": "image_url", "image_url": "x"}])), "engine-error", "a part of"),
    "a message that is a list": Way(whole({"message": ["ANSWER"], "finish_reason": "stop"}), "engine-error", "list"),
    "choices: [null]": Way(whole(None), "engine-error", "a choice is NoneType"),
    "choices: []": Way(body({"choices": []}), "engine-error", "no choice in it"),
    "choices: text": Way(body({"choices": "ANSWER"}), "engine-error", "choices is str"),
    "choices: an object": Way(body({"choices": {"text": "ANSWER"}}), "engine-error", "choices is dict"),
    "choices missing": Way(body({"id": 1, "object": "text"}), "engine-error", "no choice in it, but id, object"),
    "a choice that is text": Way(whole("ANSWER"), "engine-error", "a choice is str"),
    "Anthropic's schema": Way(
        body({"content": [{"type": "text", "text": "ANSWER"}], "stop_reason": "end_turn"}), "engine-error",
        "no choice"),
    "Ollama's schema": Way(
        body(b'{"response": "ANSWER"}\n{"done": true}', kind="application/x-ndjson"), "engine-error",
        "no JSON object"),
    "Gemini's schema": Way(
        body({"candidates": [{"content": {"parts": [{"text": "ANSWER"}]}}]}), "engine-error", "no choice"),
    # no answers: by their counts
    "usage: a list": Way(used([992, 5]), "engine-error", "usage is list"),
    "usage: text": Way(used("992"), "engine-error", "usage is str"),
    "a count of NaN": Way(used({"prompt_tokens": float("nan")}), "engine-error", "usage.prompt_tokens is nan"),
    "a count as text": Way(used({"prompt_tokens": "480"}), "engine-error", "usage.prompt_tokens is 480"),
    "a count below 0": Way(used({"prompt_tokens": -1}), "engine-error", "usage.prompt_tokens is -1"),
    "a count of 10^30": Way(used({"prompt_tokens": 10**30}), "engine-error", "usage.prompt_tokens is 1000"),
    "details that are a list": Way(used({"prompt_tokens_details": [1]}), "engine-error", "prompt_tokens_details"),
    "too few tokens read": Way(used({"prompt_tokens": 473}), "engine-error", "473 tokens of the 480 sent"),
    "too many tokens read": Way(used({"prompt_tokens": 490}), "engine-error", "490 tokens of the 480 sent"),
    "two models in one reply": Way(
        streamed({"model": "a", **piece("ANS")}, {"model": "b", **piece("ANSWER")}), "engine-error", "two models"),
    # no answers: by their form
    "JSON 200,000 deep": Way(body(DEEP), "engine-error", "nested too deep"),
    "an event 200,000 deep": Way(lambda asked: stream(event(DEEP) + end(asked)), "engine-error", "nested too deep"),
    "JSON that is a list": Way(body(["ANSWER"]), "engine-error", "no JSON object"),
    "JSON that is a number": Way(body(4829173), "engine-error", "no JSON object"),
    "a number of 5,000 digits": Way(body(b'{"choices": ' + b"9" * 5000 + b"}"), "engine-error", "no JSON object"),
    "half of a JSON object": Way(body(b'{"choices": [{"text": "ANSWER"'), "engine-error", "no JSON object"),
    "half of an event": Way(
        lambda asked: stream(_filled(event(piece("ANSWER")), asked) + b'data: {"cho'), "engine-error",
        "no JSON object"),
    "a page of HTML": Way(body(b"<html>Sign in</html>", kind="text/html"), "engine-error", "<html>Sign in"),
    "an empty body": Way(body(b""), "engine-error", "no JSON object"),
    "an empty stream": Way(lambda asked: stream(b""), "engine-error", "no choice in it"),
    "a stream without its end": Way(lambda asked: stream(
        _filled(event(piece("ANSWER")), asked)), "engine-error", "before its end"),
    "an error in a whole answer": Way(body({"error": {"message": "it broke"}}), "engine-error", "it broke"),
    "an error in the stream": Way(lambda asked: stream(
        _filled(event(piece("ANSWER")), asked) + event({"error": {"message": "it broke"}})), "engine-error",
        "it broke"),
    "an event called error": Way(
        lambda asked: stream(b"event: error\n" + event({"message": "it broke"})), "engine-error", "it broke"),
    # no answers: by their HTTP
    "HTTP 204": Way(body(b"", status="204 No Content"), "engine-error", "HTTP 204"),
    "HTTP 206": Way(body(piece("ANSWER", "stop"), status="206 Partial Content"), "engine-error", "HTTP 206"),
    "a redirect to itself": Way(
        lambda asked: http(b"", "text/html", "302 Found", "Location: /v1/completions"), "engine-error", "redirect"),
    "HTTP 418": Way(body({"error": "teapot"}, status="418 Teapot"), "engine-error", "teapot"),
    "HTTP 429": Way(body({"error": "slow down"}, status="429 Too Many"), "engine-error", "slow down"),
    "HTTP 403 once": Way(body({"error": "not you"}, status="403 Forbidden"), "engine-error", "not you"),
    "HTTP 404 once": Way(body({"error": "gone"}, status="404 Not Found"), "engine-error", "gone"),
    "HTTP 500": Way(body(b"it fell over", status="500 Oh"), "engine-error", "it fell over"),
    "HTTP 503 with an answer": Way(body(piece("ANSWER", "stop"), status="503 Busy"), "engine-error", "HTTP 503"),
    "a chunk of no size": Way(lambda asked: _chunked(b"zz\r\nANSWER\r\n"), "engine-error", "RemoteProtocolError"),
    "a chunk that is cut": Way(
        lambda asked: _chunked(_chunk(_filled(event(piece("ANSWER")), asked)), b"40\r\nda"), "engine-error",
        "Protocol"),
    "less than its content-length": Way(
        lambda asked: http(_filled(json.dumps(piece("ANSWER", "stop")).encode(), asked))[:-9], "engine-error",
        "Protocol"),
    "no HTTP": Way(lambda asked: b"ANSWER\r\n\r\n", "engine-error", "RemoteProtocolError"),
    "half of the headers": Way(lambda asked: b"HTTP/1.1 200 OK\r\nContent-", "engine-error", "RemoteProtocolError"),
    "closed without a word": Way(lambda asked: b"", "engine-error", "disconnected"),
    "gzip that is none": Way(
        lambda asked: http(b"\x1f\x8bANSWER", "application/json", "200 OK", "Content-Encoding: gzip"), "engine-error",
        "DecodingError"),
    # no answers: by their size or time
    "no answer in time": Way(_hang, "engine-error", "no whole answer within"),
    "a word now and then": Way(_drip, "engine-error", "no whole answer within"),
    "200 MB in pieces": Way(_endless, "engine-error", "larger than"),
    "200 MB in one line": Way(_endless_line, "engine-error", "larger than"),
    "100 MB from 100 KB of gzip": Way(
        lambda asked: http(BOMB, "application/json", "200 OK", "Content-Encoding: gzip"), "engine-error",
        "larger than"),
}
"""By what each does; the names are those of the table that the test prints."""


@dataclass
class Misbehaving(Loopback):
    """Every second prompt gets the next of ``WAYS``, the others, and those after them, the right answer.

    ``ways`` has, by the right answer of its prompt, the way that each was met with.
    """

    names: list[str] = field(default_factory=lambda: list(WAYS))
    ways: dict[str, str] = field(default_factory=dict)
    num_prompts: int = 0
    port: int = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _Handler

    def next_way(self, answer: str) -> Way | None:
        """How to meet this prompt; None: properly."""
        with self._lock:
            number, self.num_prompts = self.num_prompts, self.num_prompts + 1
            if number % 2 or number // 2 >= len(self.names):
                return None
            self.ways[answer] = self.names[number // 2]
            return WAYS[self.names[number // 2]]


class _Handler(BaseHTTPRequestHandler):
    own: Misbehaving
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        card = {"id": "smol", "owned_by": "vllm", "max_model_len": "8192"}
        page = {"/v1/models": {"data": [card, None, 3]}, "/version": {"version": 9}}.get(self.path)
        self._write(body(page)(Asked("", 0)) if page else http(b"{}", "text/plain", "404 Not Found"))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not isinstance(request["prompt"], list):
            self._write(http(b'{"error": "ids alone"}', "application/json", "400 No"))
            return
        found = _NUMBER.findall(load_tokenizer("smollm2").decode(request["prompt"]))
        asked = Asked(found[-1] if found else "none", len(request["prompt"]))
        way = None if request["max_tokens"] == 1 else self.own.next_way(asked.answer)
        self._write(way.reply(asked) if way else told("stop")(asked))

    def _write(self, raw: Raw) -> None:
        self.close_connection = True
        try:
            for data in [raw] if isinstance(raw, bytes) else raw:
                self.wfile.write(data)
                self.wfile.flush()
        except OSError:
            pass  # whoever asked has heard enough
