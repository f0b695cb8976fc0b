"""Requests to one server: greedy, one answer, the prompt as ids, as text or as a chat, in that server's own words."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from niah.engines.openai.connection import Connection
from niah.engines.openai.http import Refused
from niah.engines.openai.server import Server
from niah.engines.openai.settings import OpenAISettings
from niah.engines.openai.wire import Reply
from niah.errors import NiahError
from niah.records import Prompt
from niah.tokens.tokenizer import Tokenizer

_TEXT = "The lamp was lit at seven. Nobody came. 1234567890, Straße 東京タワー, naïve."
"""Digits, umlauts and another script: tokenizers part ways in them."""
_LONG_TEXT = " ".join((
    _TEXT, "Die Fähre legte um 06:45 Uhr ab; niemand fragte nach Sitz 7b.", "def area(r):\n    return 3.14159 * r**2",
    "他们在图书馆里找到了一封旧信。", "夜明けまで待った。", "El niño contó 8,192 pasos.", "وصل القطار متأخرا.", _TEXT,
))
"""The same in more words: a tokenizer that agrees on both is the same one."""
CAN_SKIP_CACHE = ("vllm", "llamacpp")
"""Kinds of servers that read a prompt anew when asked to."""
_NEUTRAL = {"presence_penalty": 0.0, "frequency_penalty": 0.0}
Request = tuple[str, dict[str, Any]]
"""The path below the API's version, and the body."""


def sample(tokenizer: Tokenizer) -> list[int]:
    """A short prompt for finding out what a server takes."""
    ids: list[int] = tokenizer.encode(_TEXT).ids.tolist()
    return ids


def other_tokenizer(num_ids: int, reply: Reply | None) -> str:
    """What is wrong where the server counts others than our ``num_ids`` in a text, a BOS token aside; else empty."""
    if reply is None or reply.num_prompt_tokens in (None, num_ids, num_ids + 1):
        return ""
    return (
        f"tokenises otherwise than the model= of this command ({reply.num_prompt_tokens} tokens of a short text, "
        f"{num_ids} here); name the model that it serves (model=...), or engine.prompts=chat"
    )


@dataclass(frozen=True)
class Requests:
    """What is sent to ``server`` for a prompt. ``settings.body`` wins over all that stands here: some hosted models
    want max_completion_tokens, or no temperature; null there drops a field."""

    server: Server
    tokenizer: Tokenizer
    settings: OpenAISettings

    def of_ids(self, ids: list[int], max_tokens: int) -> Request:
        """The ids themselves, to /completions."""
        return "completions", self._body({"prompt": ids}, max_tokens)

    def of_text(self, text: str, way: str, max_tokens: int) -> Request:
        """``way`` is text (the whole prompt) or chat (the user's message)."""
        if way == "chat":
            return "chat/completions", self._body({"messages": [{"role": "user", "content": text}]}, max_tokens)
        own = {"add_special_tokens": False} if self.server.kind == "vllm" else {}  # the text holds them
        return "completions", self._body({"prompt": text, **own}, max_tokens)

    def of_prompt(self, prompt: Prompt, way: str) -> Request:
        """A trial's prompt, sent as ids, text or chat.

        Raises NiahError for what cannot be sent in this way at all, Refused for what this server cannot be asked.
        """
        if way == "ids":
            path, body = self.of_ids(prompt.ids.tolist(), prompt.max_tokens)
        elif way == "text":
            path, body = self.of_text(self.tokenizer.decode(prompt.ids), "text", prompt.max_tokens)
        else:
            path, body = self._chat(prompt)
        if prompt.salt or not self.settings.prefix_caching:
            body |= self._without_cache(prompt.salt)
        return path, body

    def samples(self, prompt: Prompt, way: str) -> Iterator[tuple[str, dict[str, Any], str]]:
        """Two short requests sent as ``prompt`` is, with its system message and template arguments, and their texts."""
        for text in (_TEXT, _LONG_TEXT):
            if way == "chat" and prompt.message:
                message = replace(prompt.message, before=text, pieces=(), after="")
                yield *self._chat(replace(prompt, message=message, max_tokens=1)), text
            else:
                yield *self.of_text(text, way, 1), text

    def way(self, connection: Connection) -> tuple[str, Reply]:
        """How prompts are to be sent (ids, text, chat), and the reply to a short one; tried out here.

        Raises NiahError where it takes none of the ways wanted, does not answer, or takes the ids of another tokenizer
        than ours.
        """
        ids, wanted, url = sample(self.tokenizer), self.settings.prompts, connection.http.base_url
        timeout = self.settings.timeout_seconds
        if wanted in ("auto", "ids"):
            reply, reason = connection.tried(*self.of_ids(ids, 1), timeout)
            if reply and reply.num_prompt_tokens in (None, len(ids)):
                as_text, _ = connection.tried(*self.of_text(_TEXT, "text", 1), timeout)
                if other := other_tokenizer(len(ids), as_text):
                    raise NiahError(f"engine=openai: {url} {other}")
                return "ids", reply
            if wanted == "ids":
                why = f"it counts {reply.num_prompt_tokens} tokens of {len(ids)}" if reply else reason
                raise NiahError(f"engine.prompts: {url} does not take token ids ({why}); take engine.prompts=auto")
        chosen = wanted if wanted != "auto" else "chat" if self.tokenizer.chat_template else "text"
        reply, reason = connection.tried(*self.of_text(_TEXT, chosen, 1), timeout)
        if reply is None:
            raise NiahError(f"engine.prompts={chosen}: {url} refuses a short prompt ({reason}); see serve-check")
        return chosen, reply

    def _chat(self, prompt: Prompt) -> Request:
        message = prompt.message
        if message is None:
            raise NiahError(
                "engine.prompts=chat: a chat cannot begin the model's answer, nor be sent for model.chat=false; take "
                "model.answer_prefix=false, or engine.prompts=text where the server's /completions adds no template"
            )
        path, body = self.of_text(message.text(self.tokenizer.decode), "chat", prompt.max_tokens)
        if message.system:
            body["messages"].insert(0, {"role": "system", "content": message.system})
        if message.template_arguments and "chat_template_kwargs" not in self.settings.body:
            body["chat_template_kwargs"] = dict(message.template_arguments)
        return path, body

    def _body(self, content: dict[str, Any], max_tokens: int) -> dict[str, Any]:
        stream, kind = self.settings.stream, self.server.kind
        body = {"model": self.server.model, **content, "max_tokens": max_tokens, "temperature": 0.0, "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        if kind in ("vllm", "sglang"):
            # a checkpoint's generation_config would change sampling: named here, these win
            body |= {"repetition_penalty": 1.0, **_NEUTRAL, "top_p": 1.0, "min_p": 0.0}
            body |= {"stop_token_ids": list(self.tokenizer.stop_ids), "skip_special_tokens": False}
        if kind == "llamacpp":
            body |= {"repeat_penalty": 1.0, **_NEUTRAL, "cache_prompt": True}
        return {name: value for name, value in {**body, **self.settings.body}.items() if value is not None}

    def _without_cache(self, salt: str) -> dict[str, Any]:
        if self.server.kind == "vllm":
            return {"cache_salt": salt or uuid.uuid4().hex}
        if self.server.kind == "llamacpp":
            return {"cache_prompt": False}
        raise Refused(
            f"{self.server.label} cannot be asked to leave its prefix cache; take engine.prefix_caching=true"
        )
