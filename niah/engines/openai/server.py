"""What an OpenAI-compatible server says of itself: its kind, version, model, limit, KV cache and counters."""

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from niah.engines.openai.http import Denied, Http
from niah.engines.openai.wire import Broken
from niah.engines.reply import Unusable, count, shown
from niah.errors import NiahError

KINDS = ("vllm", "llamacpp", "sglang", "other")
_OWNERS = {"vllm": "vllm", "llamacpp": "llamacpp", "sglang": "sglang"}
_LABELS = {"vllm": "vLLM", "llamacpp": "llama.cpp", "sglang": "SGLang", "other": "OpenAI-compatible server"}
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([-+\d.eE]+|NaN)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_COUNTERS = {
    "vllm": (
        "vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total", "vllm:num_preemptions_total",
    ),
    "llamacpp": ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total"),
    "sglang": ("sglang:prompt_tokens_total", "sglang:generation_tokens_total", "sglang:cached_tokens_total"),
}
_CACHE_DETAILS = ("block_size", "num_gpu_blocks", "enable_prefix_caching")
_POLL_SECONDS = 0.5
_UNQUANTIZED = {"bfloat16", "float16", "float32"}


@dataclass(frozen=True)
class Server:
    """``max_length`` is its limit for prompt and answer; None, like ``version`` and ``cache_dtype``, where it does not
    say. ``details`` are further facts by the server's own names."""

    kind: str
    version: str | None
    model: str
    models: tuple[str, ...]
    max_length: int | None
    cache_dtype: str | None
    has_metrics: bool
    details: dict[str, Any]

    @property
    def label(self) -> str:
        return f"{_LABELS[self.kind]} {self.version or ''}".strip()

    @property
    def limit(self) -> str:
        return f"{self.label} there reads at most {self.max_length or 0:,} tokens, prompt and answer"

    def check_cache(self, wanted: str) -> None:
        """Raises NiahError where its KV cache, by its own word, is not the ``kv.dtype`` of the command."""
        own = self.cache_dtype
        if own and own != wanted and {own, wanted} != {"fp8", "fp8_e4m3"} and not {own, wanted} <= _UNQUANTIZED:
            raise NiahError(
                f"kv.dtype: got {wanted}, but the KV cache of {self.label} there is {own}; add the kv=NAME that it has"
            )


async def detect(http: Http, kind: str, model: str | None, wait_seconds: float) -> Server:
    """Raises NiahError where nothing answers within ``wait_seconds``, or where it is not clear which model is meant."""
    listed = await _models(http, wait_seconds)
    names = tuple(shown(card.get("id")) for card in listed)
    if model is None and len(names) != 1:
        known = f"has {', '.join(names[:20])}" if names else "lists none (an address ends in /v1 on most servers)"
        raise NiahError(f"engine.model: which one? {http.base_url} {known}; add engine.model=NAME")
    model = model if model is not None else names[0]
    if names and model not in names:
        raise NiahError(f"engine.model: {http.base_url} has no {model}; expected one of {', '.join(names[:20])}")
    card = next((card for card in listed if shown(card.get("id")) == model), {})
    if kind == "auto":
        kind = _OWNERS.get(str(card.get("owned_by", "")).lower(), "other")
    version, limit, details = await _own_words(http, kind, card)
    samples = await metrics(http, kind) if kind in _COUNTERS else None
    cache = cache_settings(samples[1]) if samples else {}
    details |= {name: cache[name] for name in _CACHE_DETAILS if cache.get(name)}
    dtype = cache.get("cache_dtype")
    dtype = None if dtype == "auto" else dtype  # the model's own type, or what its checkpoint says: still not known
    return Server(kind, version, model, names, limit, dtype, samples is not None, details)


async def _models(http: Http, wait_seconds: float) -> list[dict[str, Any]]:
    """The cards of /models; none where the server has no such page."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            found = await http.get(f"{http.base_url}/models")
            break
        except Broken as error:
            if time.monotonic() >= deadline:
                raise NiahError(
                    f"engine.base_url: {http.base_url} does not answer ({error}); expected a running server; start it, "
                    "or check the address (engine.wait_seconds waits for one that is starting)"
                ) from error
        await asyncio.sleep(_POLL_SECONDS)
    cards = found.get("data") if isinstance(found, dict) else None
    return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []


async def _own_words(http: Http, kind: str, card: dict[str, Any]) -> tuple[str | None, int | None, dict[str, Any]]:
    """Version, limit and details, each asked for where that kind of server has it."""
    limit = _tokens(card.get("max_model_len"))  # vLLM's and SGLang's
    if kind == "vllm":
        answer = await _page(http, "version")
        return _version(answer, "version"), limit, {}
    if kind == "llamacpp":
        props = await _page(http, "props")
        if not isinstance(props, dict):
            meta = card.get("meta")
            return None, _tokens(meta.get("n_ctx")) if isinstance(meta, dict) else None, {}
        settings = props.get("default_generation_settings")
        limit = _tokens(settings.get("n_ctx")) if isinstance(settings, dict) else None
        details = {name: props[name] for name in ("total_slots", "model_path", "model_ftype") if props.get(name)}
        return _version(props, "build_info"), limit, details
    if kind == "sglang":
        answer = await _page(http, "get_server_info")
        return _version(answer, "version"), limit, {}
    return None, limit, {}


async def _page(http: Http, name: str) -> Any | None:
    """A page that only tells more of a server, which answers without it too; None where it is not to be had."""
    try:
        return await http.get(f"{http.root}/{name}")
    except (Broken, Denied):
        return None


def _version(answer: Any, key: str) -> str | None:
    """A version as text; None where it is not told."""
    told = answer.get(key) if isinstance(answer, dict) else None
    return None if told is None else shown(told)


def _tokens(told: Any) -> int | None:
    """A limit in tokens, as a number or as digits; None where it is neither, as where it is not told."""
    try:
        return count(int(told) if isinstance(told, str) else told, "its limit") or None
    except (Unusable, ValueError):
        return None


async def metrics(http: Http, kind: str) -> tuple[dict[str, float], str] | None:
    """The counters of /metrics, summed over their labels, and the page; None where there is none."""
    page = await _page(http, "metrics")
    if not isinstance(page, str) or not (samples := _SAMPLE.findall(page)):
        return None
    counters = dict.fromkeys(_COUNTERS.get(kind, ()), 0.0)
    for name, _, value in samples:
        if name in counters:
            with suppress(ValueError):  # a dot alone looks like a number
                counters[name] += float(value)
    return counters, page


def cache_settings(page: str) -> dict[str, str]:
    """vLLM's own settings of its KV cache: the labels of vllm:cache_config_info."""
    for name, labels, _ in _SAMPLE.findall(page):
        if name == "vllm:cache_config_info":
            return dict(_LABEL.findall(labels))
    return {}
