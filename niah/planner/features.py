"""What a model's layers are, in words, and what it keeps of a text: its features for a table."""

from collections import Counter
from dataclasses import dataclass

from niah.models.settings import Model
from niah.planner import architecture, memory
from niah.planner.architecture import Architecture
from niah.planner.layer import Layer
from niah.planner.memory import Setup


@dataclass(frozen=True)
class Features:
    """``attention`` in words; ``token_bytes`` of KV cache that each token adds, in bfloat16 on one GPU, in the layers
    that keep all tokens up to the model's own limit (of its config.json, where a larger ``max_length`` is given);
    ``limit_bytes`` that one request of the longest length takes, windows, states and steps in flight included."""

    attention: str
    token_bytes: int
    limit_bytes: int


def of(model: Model) -> Features:
    """Raises UnknownArchitectureError for a model that the plan does not know."""
    shape = architecture.of(model)
    return Features(
        attention_words(shape, model.limit), token_bytes(shape, model.limit),
        memory.need(shape, Setup(), model.limit).cache,
    )


def token_bytes(shape: Architecture, limit: int) -> int:
    """What each token adds, in bfloat16, up to ``limit`` tokens or the fewer that the model has positions for."""
    own = min(limit, shape.max_positions or limit)
    growing = [layer for layer in shape.layers if layer.owns_cache and _is_full(layer, own)]
    heads = sum(2 * layer.kv_heads * (layer.key_width + layer.value_width) for layer in growing if not layer.latent)
    return heads + sum(2 * layer.latent + layer.index_bytes for layer in growing)


def attention_words(shape: Architecture, limit: int) -> str:
    """Layers by kind: all full, or as ``12 full + 36 chunk 8,192``; a window that no text fills counts as full."""
    counts = Counter(_word(layer, limit) for layer in shape.layers if layer.kind != "feed_forward")
    named = [word for word in counts if not word.startswith("state")] + [word for word in counts if word == "state"]
    text = named[0] if len(named) == 1 else " + ".join(f"{counts[word]} {word}" for word in sorted(named, key=_place))
    if any(layer.has_sinks for layer in shape.layers):
        text += ", with sinks"
    if shared := sum(not layer.owns_cache for layer in shape.layers if layer.attends):
        text += f", {shared} read another's cache"
    return text


def _place(word: str) -> int:
    return ("full", "MLA", "sparse", "window", "chunk", "state").index(word.split()[0])


def _word(layer: Layer, limit: int) -> str:
    if layer.selected:
        return f"sparse MLA of {layer.selected:,}"
    if layer.latent:
        return "MLA"
    if _is_full(layer, limit):
        return "full"
    return "state" if layer.kind == "state" else f"{_NAMES[layer.kind]} {layer.window:,}"


_NAMES = {"sliding": "window", "chunked": "chunk"}


def _is_full(layer: Layer, limit: int) -> bool:
    return layer.kind == "full" or (layer.kind == "sliding" and layer.window >= limit)
