"""What a server sends, as bytes, made a reply: server-sent events, JSON of any shape, its own words for one thing.

Nothing here trusts a type: whatever is no answer is Unusable or Broken, with what came in the message.
"""

import codecs
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from niah.engines.reply import FILTERED, LENGTH, STOP, TRANSIENT, Unusable, count, finish_reason, shown, whole

_BREAK = re.compile(r"\r\n|\r|\n")
_EVENTS = re.compile(r"\s*(?:data|event|id|retry)?:")
"""How a stream of events begins, whatever its content type says."""
_TEXT_PARTS = ("text", "output_text")
_THOUGHT_PARTS = ("thinking", "reasoning", "reasoning_text", "summary_text")
_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking")
_FREE_BYTES, _BYTES_PER_TOKEN = 2**20, 2**11
"""An answer may have so many bytes, and so many more for each token: a token that is streamed alone, with its
log-probabilities, takes a few hundred."""


class Broken(Exception):
    """No answer, or half of one: worth another try. ``wait_seconds`` is what the server asked for; ``is_reply``: it
    did answer, so that it is there."""

    def __init__(self, name: str, message: str, wait_seconds: float | None = None, *, is_reply: bool = False):
        super().__init__(message)
        self.name = name
        self.wait_seconds = wait_seconds
        self.is_reply = is_reply


@dataclass(frozen=True)
class Reply:
    """One whole answer. Token counts are the server's own, None where it gives none; ``thinking`` is what it kept apart
    from ``text``, ``model`` the name that it answers by. ``finish_reason`` is stop, length or content_filter."""

    text: str
    finish_reason: str
    num_prompt_tokens: int | None
    num_tokens: int | None
    num_cached_tokens: int | None
    seconds: float
    first_token_seconds: float | None
    has_logprobs: bool = False
    thinking: str = ""
    num_thinking_tokens: int = 0
    model: str = ""


def max_bytes(max_tokens: int) -> int:
    """The largest reply to a request for so many tokens."""
    return _FREE_BYTES + _BYTES_PER_TOKEN * max_tokens


def text_of(content: bytes) -> str:
    """What a server wrote; bytes that are no UTF-8 become U+FFFD."""
    return content.decode(json.detect_encoding(content), errors="replace").removeprefix("\ufeff")


def json_or_text(content: bytes) -> Any:
    """JSON, else text."""
    text = text_of(content)
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return text


def parsed(text: str) -> dict[str, Any]:
    """A JSON object. Raises Broken for all else."""
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        found = text
    except RecursionError as error:
        raise Unusable("JSON that is nested too deep to be read") from error
    if not isinstance(found, dict):
        raise Broken("half an answer", f"no JSON object: {shown(found)!r}", is_reply=True)
    return found


def is_events(content_type: str, begins: bytes) -> bool:
    """Whether a reply is a stream of events, by its type or, where that says nothing, by its first bytes."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return not begins.lstrip().startswith((b"{", b"["))
    return kind != "application/json" and bool(_EVENTS.match(begins.decode(errors="replace").removeprefix("\ufeff")))


class Event(NamedTuple):
    name: str
    data: str


async def events(pieces: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Server-sent events (WHATWG HTML, 9.2.6): lines end in CR, LF or both, data of several lines is joined, comments,
    ids and retry are left out. One that the end cuts off is given all the same: some servers leave its empty line out.

    By hand, since httpx2's EventSource neither limits what is decoded nor reads a stream with another content type.
    """
    decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
    begun: list[str] = []
    data: list[str] = []
    held = name = ""
    async for piece in pieces:
        text = held + decode(piece)
        text, held = (text[:-1], "\r") if text.endswith("\r") else (text, "")
        lines = _BREAK.split(text)
        begun.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0], begun = "".join(begun), [lines[-1]]
        for line in lines[:-1]:
            key, _, value = line.partition(":")
            if key == "data":
                data.append(value.removeprefix(" "))
            elif key == "event":
                name = value.removeprefix(" ")
            elif not line:
                if data:
                    yield Event(name, "\n".join(data))
                name, data = "", []
    key, _, value = "".join(begun).partition(":")
    if key == "data":
        data.append(value.removeprefix(" "))
    if data:
        yield Event(name, "\n".join(data))


@dataclass
class Gathered:
    """A reply while its pieces come."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reason: Any = None
    usage: Any = None
    model: str = ""
    num_choices: int = 0
    index: Any = None
    size: int = 0
    calls_a_tool: bool = False
    has_logprobs: bool = False
    seen: str = ""

    def take(self, chunk: dict[str, Any]) -> bool:
        """Adds a piece, or the whole; returns whether it held text. Raises Unusable for what is no such thing."""
        self.seen = self.seen or shown(", ".join(map(str, chunk)) or "{}")
        if isinstance(name := chunk.get("model"), str) and name:
            if self.model and shown(name) != self.model:
                raise Unusable(f"its pieces name two models, {self.model} and {shown(name)}")
            self.model = shown(name)
        usage = chunk.get("usage")
        self.usage = self.usage if usage is None else usage
        choices = chunk.get("choices")
        if choices is None:
            return False
        if not isinstance(choices, list):
            raise Unusable(f"choices is {type(choices).__name__} {shown(choices)}; expected a list")
        before = self.size
        for choice in choices:
            if not isinstance(choice, dict):
                raise Unusable(f"a choice is {type(choice).__name__} {shown(choice)}; expected an object")
            if not self.num_choices:
                self.index = choice.get("index")
            if choice.get("index") == self.index:  # one answer was asked for: any other is left out
                self._choice(choice)
                break
        return self.size > before

    def _choice(self, choice: dict[str, Any]) -> None:
        self.num_choices += 1
        reason = choice.get("finish_reason")
        if reason is not None and (reason != "" or self.reason is None):
            self.reason = reason
        self.has_logprobs |= bool(choice.get("logprobs"))
        message = choice.get("delta") or choice.get("message") or choice
        if not isinstance(message, dict):
            raise Unusable(f"its message is {type(message).__name__} {shown(message)}; expected an object")
        self._content(message.get("content"))
        self._content(message.get("text"))
        for key in _THOUGHT_KEYS:
            if (thought := message.get(key)) is not None:
                self._thought(thought, key)
                break
        if isinstance(refusal := message.get("refusal"), str):
            self.refusals.append(refusal)
        self.calls_a_tool |= bool(message.get("tool_calls") or message.get("function_call"))

    def _text(self, text: str) -> None:
        self.texts.append(text)
        self.size += len(text)

    def _thought(self, thought: Any, key: str) -> None:
        self.thoughts.append(_joined(thought, key))
        self.size += len(self.thoughts[-1])

    def _content(self, content: Any) -> None:
        """Text, or a list of parts: those of thinking are kept apart."""
        if content is None:
            return
        if isinstance(content, str):
            self._text(content)
            return
        if not isinstance(content, list):
            raise Unusable(f"its text is {type(content).__name__} {shown(content)}; expected text")
        for part in content:
            kind = part.get("type", "text") if isinstance(part, dict) else "text"
            if isinstance(part, str):
                self._text(part)
            elif isinstance(part, dict) and kind in _TEXT_PARTS and isinstance(part.get("text"), str):
                self._text(part["text"])
            elif isinstance(part, dict) and kind in _THOUGHT_PARTS:
                inside = next((part[key] for key in (kind, "text", "thinking") if part.get(key) is not None), "")
                self._thought(inside, str(kind))
            elif isinstance(part, dict) and kind == "refusal":
                self.refusals.append(str(part.get("refusal", "")))
            else:
                raise Unusable(f"a part of its text is {shown(part)}; expected text")

    def reply(self, seconds: float, first: float | None, max_tokens: int, *, is_ended: bool) -> Reply:
        """The whole of it. ``is_ended``: the server said that it is, which is an end without a reason too.

        Raises Broken for half an answer, Unusable for what is none.
        """
        if not self.num_choices:
            raise Unusable(f"no choice in it, but {self.seen or 'nothing'}")
        counts = self._counts()
        if self.reason is None:
            if not is_ended:
                half = f"it ended after {self.num_choices} pieces, before its end"
                raise Broken("half an answer", half, is_reply=True)
            reason = LENGTH if (counts["num_tokens"] or 0) >= max_tokens else STOP
        else:
            reason = self._reason()
        text, thinking, refusal = ("".join(parts) for parts in (self.texts, self.thoughts, self.refusals))
        if not text.strip() and refusal:
            text, reason = refusal, FILTERED
        if not text.strip() and reason == STOP:
            if self.calls_a_tool:
                raise Unusable("it calls a tool instead of an answer")
            if thinking.strip():
                raise Unusable(f"only reasoning, no text: {shown(thinking)}")
            if not self.texts:
                raise Unusable("no text in it, neither content nor text")
        is_thought = thinking or counts["num_thinking_tokens"]
        if reason == LENGTH and not self.texts and not is_thought and max_tokens > 1:  # one token may be no text yet
            raise Unusable("no text in it, neither content nor text, though it ended by its budget")
        return Reply(
            text=whole(text), finish_reason=reason, seconds=seconds, first_token_seconds=first,
            has_logprobs=self.has_logprobs, thinking=whole(thinking).strip(), model=self.model, **counts,
        )

    def _reason(self) -> str:
        try:
            return finish_reason(self.reason)
        except Unusable as error:
            if self.calls_a_tool:
                raise Unusable("it calls a tool instead of an answer") from error
            if isinstance(self.reason, str) and self.reason.strip().casefold() in TRANSIENT:
                raise Broken(f"finish reason {shown(self.reason)}", str(error), is_reply=True) from error
            raise

    def _counts(self) -> dict[str, Any]:
        usage = {} if self.usage is None else self.usage
        if not isinstance(usage, dict):
            raise Unusable(f"usage is {type(usage).__name__} {shown(usage)}; expected an object with token counts")
        inside = {}
        for key in ("prompt_tokens_details", "completion_tokens_details"):
            details = usage.get(key)
            if not isinstance(details, dict | None):
                raise Unusable(f"usage.{key} is {shown(details)}; expected an object")
            inside[key] = details or {}
        thought = count(inside["completion_tokens_details"].get("reasoning_tokens"), "usage.reasoning_tokens")
        return {
            "num_prompt_tokens": count(usage.get("prompt_tokens"), "usage.prompt_tokens") or None,  # 0 does not count
            "num_tokens": count(usage.get("completion_tokens"), "usage.completion_tokens"),
            "num_cached_tokens": count(inside["prompt_tokens_details"].get("cached_tokens"), "usage.cached_tokens"),
            "num_thinking_tokens": thought or 0,
        }


def _joined(thought: Any, key: str) -> str:
    """Reasoning as text: itself, or its parts."""
    if isinstance(thought, str):
        return thought
    if isinstance(thought, list):
        return "".join(_joined(part.get("text", "") if isinstance(part, dict) else part, key) for part in thought)
    if isinstance(thought, dict) and isinstance(thought.get("text"), str):
        return str(thought["text"])
    raise Unusable(f"{key} is {type(thought).__name__} {shown(thought)}; expected text")
