"""Nemotron-H (arXiv:2504.03624): a layer is one block, Mamba 2, attention without positions, experts or a dense part.

Shapes follow vLLM 0.32's nemotron_h.py; experts may work in a narrower width (moe_latent_size).
"""

from collections.abc import Mapping
from typing import Any

from niah.planner.layer import Layer

_MOST_BLOCKS = 10_000
_KINDS = {
    "mamba": "state", "linear_attention": "state", "M": "state", "attention": "full", "full_attention": "full",
    "*": "full", "moe": "experts", "E": "experts", "mlp": "dense", "-": "dense",
}
"""What a block is, in each of the spellings that a config.json may have."""
_STATES = 3
"""A request's: the running one, the one that a hit starts from, and one that a step leaves inside a prompt."""


def layers(text: Mapping[str, Any]) -> tuple[Layer, ...]:
    """All blocks. Raises ValueError for one that is none."""
    named = text.get("layers_block_type") or text["hybrid_override_pattern"]
    if len(named) > _MOST_BLOCKS:
        raise ValueError(f"{len(named)} blocks")
    if unknown := sorted({str(one) for one in named} - set(_KINDS)):
        raise ValueError(f"blocks of {', '.join(unknown)}")
    make = {"state": _mamba, "full": _attention, "experts": _experts, "dense": _dense}
    return tuple(make[_KINDS[one]](text) for one in named)


def _mamba(text: Mapping[str, Any]) -> Layer:
    """Mamba 2 (arXiv:2405.21060): a state of fixed size instead of a cache."""
    hidden, heads, width = text["hidden_size"], text["mamba_num_heads"], text["mamba_head_dim"]
    groups, state, kernel = text["n_groups"], text["ssm_state_size"], text["conv_kernel"]
    inner = heads * width
    mixed = inner + 2 * groups * state
    return Layer(
        "state", heads, groups, state, width, state_values=(mixed * (kernel - 1), inner * state), states=_STATES,
        heads_parameters=hidden * (inner + mixed + heads) + mixed * (kernel + 1) + 3 * heads + inner * (hidden + 1),
        whole_parameters=hidden,
    )


def _attention(text: Mapping[str, Any]) -> Layer:
    hidden, heads, kv_heads = text["hidden_size"], text["num_attention_heads"], text["num_key_value_heads"]
    width = text.get("head_dim") or hidden // heads
    return Layer(
        "full", heads, kv_heads, width, width, heads_parameters=2 * hidden * heads * width,
        cache_parameters=2 * hidden * kv_heads * width, whole_parameters=hidden,
    )


def _experts(text: Mapping[str, Any]) -> Layer:
    """Experts without a gate: two products each. The router and the way to the narrower width are on every GPU."""
    hidden, latent = text["hidden_size"], text.get("moe_latent_size") or 0
    experts, one = text["n_routed_experts"], 2 * (latent or text["hidden_size"]) * text["moe_intermediate_size"]
    shared = 2 * hidden * text["moe_shared_expert_intermediate_size"] * (text.get("n_shared_experts") or 0)
    return Layer(
        "feed_forward", 0, 0, 0, 0, owns_cache=False, mlp_parameters=shared,
        whole_parameters=hidden * (1 + experts + 2 * latent), expert_parameters=one * experts,
        active_expert_parameters=one * text["num_experts_per_tok"],
    )


def _dense(text: Mapping[str, Any]) -> Layer:
    hidden = text["hidden_size"]
    return Layer(
        "feed_forward", 0, 0, 0, 0, owns_cache=False, mlp_parameters=2 * hidden * text["intermediate_size"],
        whole_parameters=hidden,
    )
