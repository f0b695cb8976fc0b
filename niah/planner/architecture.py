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
from niah.planner import nemotron
from niah.planner.layer import Layer

KNOWN = (
    "llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "phi3", "cohere", "llama4", "gemma3", "gemma4", "qwen3_5",
    "qwen3_5_moe", "deepseek_v3", "deepseek_v32", "glm_moe_dsa", "gpt_oss", "nemotron_h",
)
"""model_type without its _text."""


_LATENT = ("deepseek_v3", "deepseek_v32", "glm_moe_dsa")
"""Those with multi-head latent attention in every layer."""
_POSITIVE = (
    "hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "index_topk",
)
"""Of ``_MOST`` those that cannot be 0."""
_MOST = {"num_hidden_layers": 10_000, **dict.fromkeys((
    "hidden_size", "vocab_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "max_position_embeddings", "sliding_window", "num_local_experts", "n_routed_experts", "num_experts",
    "num_kv_shared_layers", "attention_chunk_size", "moe_intermediate_size", "q_lora_rank", "kv_lora_rank",
    "moe_latent_size", "moe_shared_expert_intermediate_size", "mamba_num_heads", "mamba_head_dim", "ssm_state_size",
    "n_groups", "conv_kernel", "n_shared_experts", "num_experts_per_tok", "index_n_heads", "index_head_dim",
    "index_topk", "index_topk_freq", "index_skip_topk_offset", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
    "linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim",
    "linear_conv_kernel_dim", "full_attention_interval", "shared_expert_intermediate_size", "no_rope_layer_interval",
    "interleave_moe_layer_step", "intermediate_size_mlp", "global_head_dim", "num_global_key_value_heads",
    "hidden_size_per_layer_input", "vocab_size_per_layer_input", "first_k_dense_replace", "top_k_experts",
    "sliding_window_pattern",
), 10**9)}
"""The largest that a size or a count of a config.json may be: no model comes near."""


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
    def num_parts(self) -> int:
        """Of all layers: two each, but of one that has attention or a feed-forward part alone."""
        return sum(layer.num_parts for layer in self.layers)

    @property
    def active_parameters(self) -> int:
        """Those a token is multiplied with: not the embeddings, and of the experts the chosen ones."""
        parts = ("heads", "cache", "whole", "mlp", "active_expert")
        inside: int = sum(getattr(layer, f"{part}_parameters") for layer in self.layers for part in parts)
        return inside + (self.head_parameters or self.embedding_parameters)


class UnknownArchitectureError(NiahError):
    """The plan cannot count this model; vLLM may still run it."""


class UnknownKindError(UnknownArchitectureError):
    """One of a model type that is not known here; vLLM may know it."""


def of(model: Model) -> Architecture:
    """The architecture of a run's model. Raises UnknownArchitectureError for one that is not known here."""
    return read(config_of(model), f"model.path={model.path}")


def read(config: Mapping[str, Any], where: str) -> Architecture:
    """The architecture of a config.json. Raises UnknownArchitectureError for one that is not known here, NiahError for
    one that lacks what it needs."""
    text = {**config, **config.get("text_config", {})}
    kind = str(text.get("model_type", "")).removesuffix("_text")
    if kind not in KNOWN:
        raise UnknownKindError(
            f"{where}: architecture {kind or 'without model_type'!r} is not known to the fast plan; expected one of "
            f"{', '.join(KNOWN)}; take exact=true, which asks vLLM itself"
        )
    try:
        _check_numbers(text)
        found = _counted(text, kind, config.get("niah", {}))
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, IndexError) as error:
        what = f"lacks {error.args[0]}" if isinstance(error, KeyError) else f"cannot be counted ({error})"
        raise NiahError(
            f"{where}: its config.json {what}; expected every field that a {kind} model has; fetch the file again"
        ) from error
    if not any(layer.attends and layer.owns_cache for layer in found.layers):
        raise UnknownArchitectureError(
            f"{where}: its config.json has {len(found.layers)} layers and none that keeps keys and values of tokens; "
            "expected at least one layer of attention with a cache of its own, for the fast plan to count; take "
            "exact=true, which asks vLLM itself"
        )
    return found


def _check_numbers(text: Mapping[str, Any]) -> None:
    """Raises ValueError for what can be no size or count: a config.json may be damaged, or anyone's."""
    for name, most in _MOST.items():
        value = text.get(name)
        least = int(name in _POSITIVE)
        if value is not None and not (type(value) is int and least <= value <= most):
            raise ValueError(f"{name} is {value!r:.40}")


def _counted(text: Mapping[str, Any], kind: str, own: Mapping[str, Any]) -> Architecture:
    """The architecture of the text model's settings; ``own`` are those that only files of niah's have."""
    hidden, vocabulary = text["hidden_size"], text["vocab_size"]
    tied = text.get("tie_word_embeddings", kind.startswith("gemma"))
    if kind == "nemotron_h":
        layers = nemotron.layers(text)
    else:
        layers = tuple(_layer(text, kind, number) for number in range(text["num_hidden_layers"]))
    lookup = text.get("hidden_size_per_layer_input", 0) * len(layers)
    return Architecture(
        hidden_size=hidden,
        vocabulary=vocabulary,
        layers=layers,
        embedding_parameters=vocabulary * hidden,
        head_parameters=0 if tied else vocabulary * hidden,
        lookup_parameters=lookup * text.get("vocab_size_per_layer_input", vocabulary),
        other_parameters=own.get("other_parameters", 0),
        max_positions=text.get("max_position_embeddings") or 0,
        rotary_width=0 if kind == "nemotron_h" else text.get("qk_rope_head_dim") or int(
            _head_width(text) * (text.get("rope_parameters") or {}).get("partial_rotary_factor", 1.0)
        ),
    )


def _layer(text: Mapping[str, Any], kind: str, number: int) -> Layer:
    feed = _feed_forward(text, kind, number)
    if kind in _LATENT:
        return Layer(**_latent(text, number), **feed)
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
    if kind == "gpt_oss":  # vLLM goes by the number alone (gpt_oss.py, _build_attention)
        return ("sliding", window) if window and not number % 2 else ("full", 0)
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
    has_sinks = kind == "gpt_oss"
    biases = heads * (width + 1) if has_sinks else 0
    return {
        "kind": reach, "heads": heads, "kv_heads": kv_heads, "key_width": width, "value_width": width,
        "owns_cache": owns, "has_sinks": has_sinks,
        "heads_parameters": 2 * queries + gate + extra * hidden + biases,
        "cache_parameters": 2 * (hidden + has_sinks) * kv_heads * width if owns else 0,
        "whole_parameters": (norms + has_sinks) * hidden + (0 if has_sinks else 2 * width) + 2 * extra * hidden,
    }


def _has_indexer(text: Mapping[str, Any], number: int) -> bool:
    """Whether a layer with sparse attention chooses its tokens itself: GLM-5.2's others take the choice of the one
    before (vLLM's deepseek_v2.py, index_topk_freq)."""
    pattern = text.get("index_topk_pattern")
    if pattern is not None:
        return not (number < len(pattern) and pattern[number] == "S")
    past = max(number - text.get("index_skip_topk_offset", 2) + 1, 0)
    return bool(past % text.get("index_topk_freq", 1) == 0)


def _latent(text: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): one latent a token is cached."""
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    query, latent, rotary = text["q_lora_rank"], text["kv_lora_rank"], text["qk_rope_head_dim"]
    plain, value = text["qk_nope_head_dim"], text["v_head_dim"]
    heads_of_index, width_of_index = text.get("index_n_heads", 0), text.get("index_head_dim", 0)
    if not _has_indexer(text, number):
        heads_of_index = width_of_index = 0
    index = heads_of_index * width_of_index
    whole = hidden * (query + latent + rotary) + query + latent + 2 * hidden
    if index:
        whole += query * index + hidden * (width_of_index + heads_of_index) + 2 * width_of_index
    return {
        "kind": "full", "heads": heads, "kv_heads": 1, "key_width": plain + rotary, "value_width": value,
        "latent": latent + rotary, "index_bytes": width_of_index and width_of_index + 4,
        "index_heads": heads_of_index, "index_width": width_of_index, "selected": text.get("index_topk") or 0,
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
    elif kind in _LATENT:
        shared = text.get("n_shared_experts", 0) * width
        if number < text.get("first_k_dense_replace", 0):
            experts, dense = 0, inner
    elif kind == "qwen3_5_moe":
        shared = text["shared_expert_intermediate_size"]
    elif kind == "gpt_oss":
        width = inner
    elif kind == "gemma4":
        sharing = number >= text["num_hidden_layers"] - text.get("num_kv_shared_layers", 0)
        dense = inner * (2 if sharing and text.get("use_double_wide_mlp") else 1)
        experts = experts if text.get("enable_moe_block") else 0
    elif not experts:
        dense = inner
    if not experts:
        return {"mlp_parameters": 3 * hidden * dense}
    gate = hidden * experts + {"qwen3_5_moe": hidden, "gpt_oss": experts}.get(kind, 0)
    one, bias = 3 * hidden * width, 2 * width + hidden if kind == "gpt_oss" else 0
    return {
        "mlp_parameters": 3 * hidden * (dense + shared) + gate,
        "expert_parameters": one * experts, "expert_bias_parameters": bias * experts,
        "active_expert_parameters": (one + bias) * chosen,
    }
