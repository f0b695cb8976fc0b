"""The verb ``serve-check``: what a running server can do for a measurement, each thing tried out, as a short table."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from niah.commands import hydra
from niah.commands.words import own_words
from niah.config import Run, build
from niah.engines.openai import OpenAI
from niah.engines.openai.connection import Connection
from niah.engines.openai.requests import Request, Requests, other_tokenizer, sample
from niah.engines.openai.wire import Broken, Reply
from niah.errors import NiahError
from niah.models.load_tokenizer import load_tokenizer
from niah.models.resolve import files_of
from niah.prompts import template
from niah.terminal import say
from niah.tokens.tokenizer import Tokenizer
from niah.units import format_length, parse_length

_SENTENCE = "The lamp was lit at seven. Nobody came. "
_REPEATED = 120
"""Sentences of the prompt that is sent twice: about 1,200 tokens, more than one block of any prefix cache."""


def main(words: list[str]) -> int:
    """Exit code of ``serve-check engine.base_url=URL WORDS [probe=32k]``."""
    own, rest = own_words({"probe": ""}, words)
    probed = [parse_length(word, "probe") for word in own["probe"].strip("[]").split(",") if word]
    given = {word.split("=")[0] for word in rest}

    def check(config: Any) -> int:
        for line in lines(build(config), given, probed):
            say(line)
        return 0

    return hydra.run(hydra.adapted([*([] if "engine" in given else ["engine=openai"]), *rest]), check)


def lines(run: Run, given: set[str], probed: Sequence[int]) -> Iterator[str]:
    """One line a finding. Counts are compared with the tokenizer of ``model=`` where the command names one.

    ``probed`` are lengths in tokens to send a prompt of, for a server that does not give its limit. Raises NiahError
    where nothing answers, or the key is refused.
    """
    engine = run.engine
    if not isinstance(engine, OpenAI):
        raise NiahError(f"serve-check: got engine={engine.name}; expected engine=openai")
    tokenizer = load_tokenizer(run.model, lambda: files_of(run.model))
    is_ours = bool({"model", "model.path", "model.tokenizer"} & given)
    with Connection(engine) as connection:
        server = connection.server
        yield _row("server", f"{connection.http.base_url}: {server.label}")
        others = ", ".join(name for name in server.models if name != server.model)
        yield _row("model", f"{server.model} (also {others})" if len(server.models) > 1 else server.model)
        limit = "not told; probe=8k,32k finds out, at the price of those prompts"
        if server.max_length:
            limit = f"{server.max_length:,} tokens, prompt and answer, by its own word"
        yield _row("limit", limit)
        if server.max_length and server.max_length < run.model.limit and is_ours:
            yield _row("", f"{run.model.name} itself reads {run.model.limit:,}")
        cache = f"{server.cache_dtype} (by its own word)" if server.cache_dtype else "type not told; kv=NAME labels it"
        yield _row("KV cache", cache)
        yield from _ways(connection, Requests(server, tokenizer, engine), run, is_ours, probed)
        yield _row("metrics", "/metrics is there" if server.has_metrics else _metrics_missing(server.kind))
        for name, value in server.details.items():
            yield _row(name, str(value))


def _ways(
    connection: Connection, requests: Requests, run: Run, is_ours: bool, probed: Sequence[int]
) -> Iterator[str]:
    """Ids, text and chat, each tried; then what comes beside an answer, in the best way that works."""
    engine, server, tokenizer = requests.settings, requests.server, requests.tokenizer
    ids = sample(tokenizer)
    text = tokenizer.decode(ids)
    own = {"ids": len(ids), "text": len(ids), "chat": _chat_tokens(tokenizer, text, run)}
    best, other = None, ""
    for way, path in (("ids", "/completions"), ("text", "/completions"), ("chat", "/chat/completions")):
        request = _request(requests, way, ids, text)
        reply, reason = _tried(connection, *request, engine.timeout_seconds)
        other = other_tokenizer(len(ids), reply) if way == "text" else other
        yield _row(f"{way} to {path}", _counted(reply, reason, way, own[way], is_ours))
        if best is None and reply and (way != "ids" or reply.num_prompt_tokens in (None, len(ids))) and way != "text":
            best = way
    if best is None:
        return
    path, body = _request(requests, best, ids, text)
    logprobs = {"logprobs": 1} if best == "ids" else {"logprobs": True, "top_logprobs": 1}
    reply, reason = _tried(connection, path, {**body, **logprobs}, engine.timeout_seconds)
    yield _row("logprobs", ("told" if reply.has_logprobs else "asked for, not told") if reply else f"refused: {reason}")
    first = reply.first_token_seconds if reply else None
    silent = "no" if engine.stream else "not asked (engine.stream=false)"
    yield _row("streaming", silent if first is None else f"works, first token after {first:.3f} s")
    many = tokenizer.encode(_SENTENCE * _REPEATED).ids.tolist()
    if server.max_length:
        many = many[: server.max_length - 1]
    path, body = _request(requests, best, many, tokenizer.decode(many))
    _tried(connection, path, body, engine.timeout_seconds)
    reply, reason = _tried(connection, path, body, engine.timeout_seconds)
    yield _row("cached tokens", _cached(reply, reason, server.kind))
    for length in probed:
        ids = np.resize(many, length - 1).tolist()
        request = _request(requests, best, ids, tokenizer.decode(ids))
        reply, reason = _tried(connection, *request, engine.timeout(length))
        yield _row(f"probe of {format_length(length)}", _probe(reply, reason, length, engine.min_counted))
    if best == "chat":
        yield _row("engine=openai", "sends chat: lengths are as exact as the counts above")
    else:
        yield _row("engine=openai", f"does not run: it {other}" if other else "sends ids: lengths are exact")


def _tried(
    connection: Connection, path: str, body: dict[str, Any], timeout_seconds: float
) -> tuple[Reply | None, str]:
    """As ``Connection.tried``; here no answer is a finding too."""
    try:
        return connection.tried(path, body, timeout_seconds)
    except NiahError as error:
        if not isinstance(error.__cause__, Broken):
            raise
        return None, f"no answer, {error.__cause__}"


def _request(requests: Requests, way: str, ids: list[int], text: str) -> Request:
    return requests.of_ids(ids, 1) if way == "ids" else requests.of_text(text, way, 1)


def _chat_tokens(tokenizer: Tokenizer, text: str, run: Run) -> int | None:
    if not tokenizer.chat_template:
        return None
    rendered = template.render_chat(tokenizer, text, None, run.model.template_arguments, "serve-check")
    return len(tokenizer.reference(rendered))


def _counted(reply: Reply | None, reason: str, way: str, own: int | None, is_ours: bool) -> str:
    if reply is None:
        return f"refused: {reason}"
    if reply.num_prompt_tokens is None:
        return "answered; tokens are not counted"
    if own is None or not (is_ours or way == "ids"):
        return f"answered; {reply.num_prompt_tokens} tokens (name model=... to compare with ours)"
    more = reply.num_prompt_tokens - own
    same = "the same" if not more else "the same and a BOS token" if way == "text" and more == 1 else "NOT the same"
    return f"answered; {reply.num_prompt_tokens} tokens, ours {own}: {same}"


def _cached(reply: Reply | None, reason: str, kind: str) -> str:
    if reply is None:
        return f"not found out: {reason}"
    if reply.num_cached_tokens is None:
        return "not told" + ("; start vLLM with --enable-prompt-tokens-details" if kind == "vllm" else "")
    return f"told; {reply.num_cached_tokens:,} of {reply.num_prompt_tokens or 0:,} when a prompt is sent again"


def _probe(reply: Reply | None, reason: str, length: int, min_counted: float) -> str:
    if reply is None:
        return f"refused: {reason}"
    if reply.num_prompt_tokens is None:
        return "answered; whether all of it was read is not told"
    is_cut = reply.num_prompt_tokens < min_counted * length
    return f"{'CUT' if is_cut else 'read'}: the server counted {reply.num_prompt_tokens:,} of {length - 1:,} tokens"


def _metrics_missing(kind: str) -> str:
    hints = {"llamacpp": "; start llama-server with --metrics", "sglang": "; start SGLang with --enable-metrics"}
    return f"none{hints.get(kind, '')}"


def _row(name: str, value: str) -> str:
    return f"{name:<26}{value}"
