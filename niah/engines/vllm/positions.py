"""How many positions a model's config.json allows, as vLLM counts them: known before anything loads."""

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from niah.errors import NiahError
from niah.models.files import ModelFiles
from niah.models.settings import Model

_KEYS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)
_COUNTED_ALREADY = ("su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling")
"""Kinds of rotary scaling whose factor is in the config's limit already."""
_ALLOWED = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


def check(arguments: Mapping[str, Any], files: ModelFiles, model: Model, longest: int) -> None:
    """Raises NiahError where vLLM would refuse ``longest`` tokens as its max_model_len.

    ``arguments`` are the engine's; their ``hf_overrides`` change the config. A variable of the environment lets vLLM
    go beyond.
    """
    wanted = arguments.get("max_model_len", longest)
    if {**os.environ, **model.environment_at(longest)}.get(_ALLOWED, "0") not in ("0", ""):
        return
    overrides = arguments.get("hf_overrides") or {}
    if not isinstance(overrides, Mapping) or not isinstance(wanted, int):
        return  # vLLM itself will tell
    config = {**files.config, **overrides, **overrides.get("text_config", {})}
    key, limit = allowed(config)
    if limit is None or wanted <= limit or wanted <= (_number(config.get("model_max_length")) or 0):
        return
    raise NiahError(
        f"model.max_length: config.json of {model.name} has {limit:,} positions ({key}); got up to {wanted:,} tokens, "
        f"prompt and answer; expected at most {limit:,}, or what extends the model: model.extended_length with "
        "model.extended_args={hf_overrides: {max_position_embeddings: N, rope_parameters: {rope_type: yarn, ...}}} as "
        f"conf/model/qwen3_235b.yaml has; {_ALLOWED}=1 lets vLLM start without, with positions the model never saw and "
        "a rotary table that stays as short"
    )


def allowed(config: Mapping[str, Any]) -> tuple[str, int | None]:
    """The key that limits a config and its tokens; None where it does not say.

    Source: vLLM 0.32, transformers_utils/model_arch_config_convertor.py (derive_max_model_len_and_key) and
    config/model.py (_get_and_verify_max_len).
    """
    found = {key: number for key in _KEYS if (number := _number(config.get(key))) is not None}
    if not found:
        return "", None
    key = "model_max_length" if found.get("model_max_length") else min(found, key=lambda name: found[name])
    factor = 1.0
    if "gemma3" not in str(config.get("model_type")):
        for rope in _rope(config):
            kind = rope.get("rope_type", rope.get("type"))
            factor = factor if kind in _COUNTED_ALREADY else _number(rope.get("factor")) or factor
    return key, int(found[key] * factor)


def _rope(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The rotary parameters of a config, or of each kind of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        own = config.get(name)
        if isinstance(own, Mapping):
            yield own
            yield from (part for part in own.values() if isinstance(part, Mapping))


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None
