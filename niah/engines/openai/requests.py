"""Request bodies: greedy, one answer, the prompt as ids, as text or as a chat, and what each kind of server calls it."""

import uuid
from typing import TYPE_CHECKING, Any

from niah.engines.openai.connection import Line
from niah.engines.openai.http import Refused, Reply
from niah.engines.openai.server import Server
from niah.errors import NiahError
from niah.records import Prompt
from niah.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from niah.engines.openai import OpenAI

_TEXT = "The lamp was lit at seven. Nobody came. 1234567890, Straße 東京タワー, naïve."
"""Digits, umlauts and another script: tokenizers part ways in them."""
CAN_SKIP_CACHE = ("vllm", "llamacpp")
"""Kinds of servers that read a prompt anew when asked to."""
Request = tuple[str, dict[str, Any]]


def sample(tokenizer: Tokenizer) -> list[int]:
    """A short prompt for finding out what a server takes."""
    return tokenizer.encode(_TEXT).ids.tolist()


def way(line: Line, tokenizer: Tokenizer, settings: "OpenAI") -> tuple[str, bool]:
    """How prompts are sent, and whether the server counts their tokens; a few short requests tell.

    Raises NiahError where it takes none of the ways wanted, does not answer, or takes the ids of another tokenizer than ours.
    """
    ids, wanted, url = sample(tokenizer), settings.prompts, line.http.base_url
    if wanted in ("auto", "ids"):
        reply, reason = line.tried(*of_ids(ids, 1, line.server, tokenizer, settings), settings.timeout_seconds)
        if reply and reply.num_prompt_tokens in (None, len(ids)):
            check, _ = line.tried(*of_text(_TEXT, "text", 1, line.server, tokenizer, settings), settings.timeout_seconds)
            if other := other_tokenizer(len(ids), check):
                raise NiahError(f"engine=openai: {url} {other}")
            return "ids", reply.num_prompt_tokens is not None
        if wanted == "ids":
            why = f"it counts {reply.num_prompt_tokens} tokens of {len(ids)}" if reply else reason
            raise NiahError(f"engine.prompts: {url} does not take token ids ({why}); take engine.prompts=auto")
    chosen = wanted if wanted != "auto" else "chat" if tokenizer.chat_template else "text"
    reply, reason = line.tried(*of_text(_TEXT, chosen, 1, line.server, tokenizer, settings), settings.timeout_seconds)
    if reply is None:
        raise NiahError(f"engine.prompts={chosen}: {url} refuses a short prompt ({reason}); see serve-check")
    return chosen, reply.num_prompt_tokens is not None


def other_tokenizer(num_ids: int, reply: Reply | None) -> str:
    """What is wrong where the server counts others than our ``num_ids`` in the same text, a BOS token aside; else empty."""
    if reply is None or reply.num_prompt_tokens in (None, num_ids, num_ids + 1):
        return ""
    return (
        f"tokenises otherwise than the model= of this command ({reply.num_prompt_tokens} tokens of a short text, {num_ids} here); "
        "name the model that it serves (model=...), or engine.prompts=chat"
    )


def request(prompt: Prompt, way: str, server: Server, tokenizer: Tokenizer, settings: "OpenAI") -> Request:
    """Path and body of a trial's prompt. Raises NiahError for what this way of sending cannot do, Refused for this server."""
    if way == "ids":
        path, body = of_ids(prompt.ids.tolist(), prompt.max_tokens, server, tokenizer, settings)
    elif way == "text":
        path, body = of_text(tokenizer.decode(prompt.ids), "text", prompt.max_tokens, server, tokenizer, settings)
    else:
        if prompt.message is None:
            raise NiahError(
                "engine.prompts=chat: a chat cannot begin the model's answer, nor be sent for model.chat=false; take "
                "model.answer_prefix=false, or engine.prompts=text where the server's /completions adds no template"
            )
        path, body = of_text(prompt.message.text(tokenizer.decode), "chat", prompt.max_tokens, server, tokenizer, settings)
        if prompt.message.system:
            body["messages"].insert(0, {"role": "system", "content": prompt.message.system})
        if prompt.message.template_arguments and "chat_template_kwargs" not in settings.body:
            body["chat_template_kwargs"] = dict(prompt.message.template_arguments)
    if prompt.salt or not settings.prefix_caching:
        body |= _without_cache(server, prompt.salt)
    return path, body


def of_ids(ids: list[int], max_tokens: int, server: Server, tokenizer: Tokenizer, settings: "OpenAI") -> Request:
    return "completions", _body({"prompt": ids}, max_tokens, server, tokenizer, settings)


def of_text(text: str, way: str, max_tokens: int, server: Server, tokenizer: Tokenizer, settings: "OpenAI") -> Request:
    """``way`` is text or chat."""
    if way == "chat":
        return "chat/completions", _body({"messages": [{"role": "user", "content": text}]}, max_tokens, server, tokenizer, settings)
    own = {"add_special_tokens": False} if server.kind == "vllm" else {}  # the text holds them
    return "completions", _body({"prompt": text, **own}, max_tokens, server, tokenizer, settings)


def _body(content: dict[str, Any], max_tokens: int, server: Server, tokenizer: Tokenizer, settings: "OpenAI") -> dict[str, Any]:
    """``settings.body`` wins: some hosted models want max_completion_tokens, or no temperature; null there drops a field."""
    body = {"model": server.model, **content, "max_tokens": max_tokens, "temperature": 0.0, "stream": settings.stream}
    if settings.stream:
        body["stream_options"] = {"include_usage": True}
    if server.kind in ("vllm", "sglang"):
        # a checkpoint's generation_config would change sampling: named here, these win
        body |= {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_p": 1.0, "min_p": 0.0}
        body |= {"stop_token_ids": list(tokenizer.stop_ids), "skip_special_tokens": False}
    if server.kind == "llamacpp":
        body |= {"repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "cache_prompt": True}
    return {name: value for name, value in {**body, **settings.body}.items() if value is not None}


def _without_cache(server: Server, salt: str) -> dict[str, Any]:
    if server.kind == "vllm":
        return {"cache_salt": salt or uuid.uuid4().hex}
    if server.kind == "llamacpp":
        return {"cache_prompt": False}
    raise Refused(f"{server.label} cannot be asked to leave its prefix cache; take engine.prefix_caching=true")
