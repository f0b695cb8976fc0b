"""What a config.json says about memory and arithmetic: parameters by kind, cache and attention by layer.

Shapes follow the model classes of vLLM 0.32 (model_executor/models). Only text: parameters of image and
audio parts come from the file's own ``niah`` entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from niah.errors import NiahError
from niah.models.resolve import config_of
from niah.models.settings import Model

KNOWN = (
    "llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "phi3", "cohere", "llama4", "gemma3", "gemma4", "qwen3_5",
    "qwen3_5_moe", "deepseek_v3", "glm_moe_dsa",
)
"""model_type without its _text."""


_NEEDED = ("hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
_MOST = {"num_hidden_layers": 10_000, **dict.fromkeys((
    "hidden_size", "vocab_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "max_position_embeddings", "sliding_window", "num_local_experts", "n_routed_experts", "num_experts",
    "num_kv_shared_layers", "attention_chunk_size", "moe_intermediate_size", "q_lora_rank", "kv_lora_rank",
), 10**9)}
"""The largest that a size or a count of a config.json may be: no model comes near."""


@dataclass(frozen=True)
class Layer:
    """One layer. ``kind`` is full, sliding, chunked or state (linear attention); ``window`` its tokens.

    ``latent`` values a token are cached instead of heads (MLA); ``owns_cache`` is false where the layer
    reads another one's. Counts of parameters: ``heads_parameters`` are split by query heads,
    ``cache_parameters`` by key-value heads, ``whole_parameters`` are on every GPU.
    """

    kind: str
    heads: int
    kv_heads: int
    key_width: int
    value_width: int
    window: int = 0
    latent: int = 0
    index_bytes: int = 0
    state_values: tuple[int, int] = (0, 0)  # convolution (model dtype), recurrent state (float32)
    owns_cache: bool = True
    heads_parameters: int = 0
    cache_parameters: int = 0
    whole_parameters: int = 0
    mlp_parameters: int = 0
    expert_parameters: int = 0
    active_expert_parameters: int = 0


@dataclass(frozen=True)
class Architecture:
    """A model in numbers: its layers, and what stands outside them.

    ``embedding_parameters`` and ``head_parameters`` are never quantized; ``lookup_parameters`` are embeddings of each
    layer (Gemma's), ``other_parameters`` those of images and sound. The table of rotary positions has
    ``max_positions`` rows of ``rotary_width`` values.
    """

    hidden_size: int
    vocabulary: int
    layers: tuple[Layer, ...]
    embedding_parameters: int
    head_parameters: int
    lookup_parameters: int
    other_parameters: int
    max_positions: int
    rotary_width: int

    @property
    def active_parameters(self) -> int:
        """Those a token is multiplied with: not the embeddings, and of the experts the chosen ones."""
        parts = ("heads", "cache", "whole", "mlp", "active_expert")
        inside: int = sum(getattr(layer, f"{part}_parameters") for layer in self.layers for part in parts)
        return inside + (self.head_parameters or self.embedding_parameters)


class UnknownArchitectureError(NiahError):
    """The plan cannot count this model; vLLM may still run it."""


def of(model: Model) -> Architecture:
    """The architecture of a run's model. Raises UnknownArchitectureError for one that is not known here."""
    return read(config_of(model), f"model.path={model.path}")


def read(config: Mapping[str, Any], where: str) -> Architecture:
    """The architecture of a config.json. Raises UnknownArchitectureError for one that is not known here, NiahError for
    one that lacks what it needs."""
    text = {**config, **config.get("text_config", {})}
    kind = str(text.get("model_type", "")).removesuffix("_text")
    if kind not in KNOWN:
        raise UnknownArchitectureError(
            f"{where}: architecture {kind or 'without model_type'!r} is not known to the fast plan; expected one of "
            f"{', '.join(KNOWN)}; take exact=true, which asks vLLM itself"
        )
    try:
        _check_numbers(text)
        return _counted(text, kind, config.get("niah", {}))
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, IndexError) as error:
        what = f"lacks {error.args[0]}" if isinstance(error, KeyError) else f"cannot be counted ({error})"
        raise NiahError(
            f"{where}: its config.json {what}; expected every field that a {kind} model has; fetch the file again"
        ) from error


def _check_numbers(text: Mapping[str, Any]) -> None:
    """Raises ValueError for what can be no size or count: a config.json may be damaged, or anyone's."""
    for name, most in _MOST.items():
        value = text.get(name)
        if value is not None and not (type(value) is int and (name not in _NEEDED or value) and 0 <= value <= most):
            raise ValueError(f"{name} is {value!r:.40}")


def _counted(text: Mapping[str, Any], kind: str, own: Mapping[str, Any]) -> Architecture:
    """The architecture of the text model's settings; ``own`` are those that only files of niah's have."""
    hidden, vocabulary = text["hidden_size"], text["vocab_size"]
    tied = text.get("tie_word_embeddings", kind.startswith("gemma"))
    layers = tuple(_layer(text, kind, number) for number in range(text["num_hidden_layers"]))
    lookup = text.get("hidden_size_per_layer_input", 0) * text["num_hidden_layers"]
    return Architecture(
        hidden_size=hidden,
        vocabulary=vocabulary,
        layers=layers,
        embedding_parameters=vocabulary * hidden,
        head_parameters=0 if tied else vocabulary * hidden,
        lookup_parameters=lookup * text.get("vocab_size_per_layer_input", vocabulary),
        other_parameters=own.get("other_parameters", 0),
        max_positions=text.get("max_position_embeddings") or 0,
        rotary_width=text.get("qk_rope_head_dim") or int(
            _head_width(text) * (text.get("rope_parameters") or {}).get("partial_rotary_factor", 1.0)
        ),
    )


def _layer(text: Mapping[str, Any], kind: str, number: int) -> Layer:
    feed = _feed_forward(text, kind, number)
    if kind in ("deepseek_v3", "glm_moe_dsa"):
        return Layer(**_latent(text), **feed)
    if kind.startswith("qwen3_5") and (number + 1) % text.get("full_attention_interval", 4):
        return Layer(**_linear(text), **feed)
    reach, window = _reach(text, kind, number)
    return Layer(**_heads(text, kind, reach, number), window=window, **feed)


def _reach(text: Mapping[str, Any], kind: str, number: int) -> tuple[str, int]:
    """Kind of attention and its window."""
    named = text.get("layer_types")
    if kind == "llama4":
        chunked = (number + 1) % text.get("no_rope_layer_interval", 4) != 0
        return ("chunked", text.get("attention_chunk_size", 8192)) if chunked else ("full", 0)
    window = text.get("sliding_window") or 0
    if kind in ("gemma3", "gemma4"):
        pattern = text.get("sliding_window_pattern") or 6
        last = kind == "gemma4" and number == text["num_hidden_layers"] - 1
        slides = named[number] == "sliding_attention" if named else (number + 1) % pattern != 0 and not last
        return ("sliding", window) if slides else ("full", 0)
    if kind in ("mistral", "phi3") and window:
        return "sliding", window
    return "full", 0


def _head_width(text: Mapping[str, Any]) -> int:
    return int(text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"])


def _heads(text: Mapping[str, Any], kind: str, reach: str, number: int) -> dict[str, Any]:
    """Ordinary attention: query, key, value and output projections.

    vLLM holds a value projection also where Gemma 4's checkpoint shares the key's.
    """
    hidden, heads, width = text["hidden_size"], text["num_attention_heads"], _head_width(text)
    kv_heads, owns, norms = text.get("num_key_value_heads", heads), True, 2
    if kind == "gemma4":
        norms = 4
        if reach == "full":
            width = text.get("global_head_dim") or width
            kv_heads = text.get("num_global_key_value_heads") or kv_heads
        owns = number < text["num_hidden_layers"] - text.get("num_kv_shared_layers", 0)
    elif kind == "gemma3":
        norms = 4
    queries = hidden * heads * width
    gate = queries if text.get("attn_output_gate") or kind.startswith("qwen3_5") else 0
    extra = text.get("hidden_size_per_layer_input", 0)
    return {
        "kind": reach, "heads": heads, "kv_heads": kv_heads, "key_width": width, "value_width": width,
        "owns_cache": owns,
        "heads_parameters": 2 * queries + gate + extra * hidden,
        "cache_parameters": 2 * hidden * kv_heads * width if owns else 0,
        "whole_parameters": norms * hidden + 2 * width + 2 * extra * hidden,
    }


def _latent(text: Mapping[str, Any]) -> dict[str, Any]:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): one latent a token is cached."""
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    query, latent, rotary = text["q_lora_rank"], text["kv_lora_rank"], text["qk_rope_head_dim"]
    plain, value = text["qk_nope_head_dim"], text["v_head_dim"]
    index = text.get("index_n_heads", 0) * text.get("index_head_dim", 0)
    whole = hidden * (query + latent + rotary) + query + latent + 2 * hidden
    if index:
        whole += query * index + hidden * (text["index_head_dim"] + text["index_n_heads"]) + 2 * text["index_head_dim"]
    return {
        "kind": "full", "heads": heads, "kv_heads": 1, "key_width": plain + rotary, "value_width": value,
        "latent": latent + rotary, "index_bytes": text.get("index_head_dim", 0) and text["index_head_dim"] + 4,
        "heads_parameters": heads * (query * (plain + rotary) + latent * (plain + value) + value * hidden),
        "whole_parameters": whole,
    }


def _linear(text: Mapping[str, Any]) -> dict[str, Any]:
    """Gated delta net (arXiv:2412.06464): a state of fixed size instead of a cache."""
    hidden, key_heads, value_heads = text["hidden_size"], text["linear_num_key_heads"], text["linear_num_value_heads"]
    keys = key_heads * text["linear_key_head_dim"]
    values = value_heads * text["linear_value_head_dim"]
    mixed, kernel = 2 * keys + values, text["linear_conv_kernel_dim"]
    return {
        "kind": "state", "heads": value_heads, "kv_heads": key_heads, "key_width": text["linear_key_head_dim"],
        "value_width": text["linear_value_head_dim"],
        "state_values": (mixed * (kernel - 1), values * text["linear_key_head_dim"]),
        "heads_parameters": hidden * (mixed + 2 * values + 2 * value_heads) + mixed * kernel + 2 * value_heads,
        "whole_parameters": 2 * hidden + text["linear_value_head_dim"],
    }


def _feed_forward(text: Mapping[str, Any], kind: str, number: int) -> dict[str, Any]:
    hidden, inner = text["hidden_size"], text.get("intermediate_size", 0)
    experts = text.get("num_local_experts") or text.get("n_routed_experts") or text.get("num_experts") or 0
    chosen = text.get("num_experts_per_tok") or text.get("top_k_experts") or 0
    width, shared, dense = text.get("moe_intermediate_size", 0), 0, 0
    if kind == "llama4":
        step = text.get("interleave_moe_layer_step", 1)
        width = shared = inner
        if (number + 1) % step:
            experts, dense = 0, text["intermediate_size_mlp"]
    elif kind in ("deepseek_v3", "glm_moe_dsa"):
        shared = text.get("n_shared_experts", 0) * width
        if number < text.get("first_k_dense_replace", 0):
            experts, dense = 0, inner
    elif kind == "qwen3_5_moe":
        shared = text["shared_expert_intermediate_size"]
    elif kind == "gemma4":
        sharing = number >= text["num_hidden_layers"] - text.get("num_kv_shared_layers", 0)
        dense = inner * (2 if sharing and text.get("use_double_wide_mlp") else 1)
        experts = experts if text.get("enable_moe_block") else 0
    elif not experts:
        dense = inner
    if not experts:
        return {"mlp_parameters": 3 * hidden * dense}
    gate = hidden * experts + (hidden if kind == "qwen3_5_moe" else 0)
    return {
        "mlp_parameters": 3 * hidden * (dense + shared) + gate,
        "expert_parameters": 3 * hidden * width * experts,
        "active_expert_parameters": 3 * hidden * width * chosen,
    }
