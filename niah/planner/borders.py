"""Where a model or its engine changes how it computes: blocks, steps, windows, chunks, lengths of rotary scaling.

Read from config.json (names as Hugging Face and vLLM have them), from the plan, and from what an open engine says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from niah.planner import architecture
from niah.planner.memory import Setup
from niah.records import EngineFacts

PERIOD, POSITION, WINDOW = "period", "position", "window"
_MOST = 2**31


@dataclass(frozen=True)
class Border:
    """One border. ``tokens`` is what ``kind`` says: the distance between two of its kind, the token at which the only
    one is, or how far a token looks back. ``source`` says where it was read. ``is_everywhere``: all layers have the
    window, so that nothing beyond it can be found."""

    name: str
    kind: str
    tokens: int
    source: str
    is_everywhere: bool = False

    def __str__(self) -> str:
        how = {PERIOD: f"every {self.tokens:,}", POSITION: f"at {self.tokens:,}", WINDOW: f"{self.tokens:,} back"}
        return f"{self.name}: {how[self.kind]} ({self.source})"


def of_config(config: Mapping[str, Any]) -> list[Border]:
    """Those that a config.json names; what is damaged in it names none."""
    text = {**config, **(config.get("text_config") or {})}
    found = []
    kinds = _kinds(config)
    window = _tokens(text.get("sliding_window"))
    if window and text.get("use_sliding_window", True) is not False and (not kinds or "sliding" in kinds):
        found.append(Border("sliding window", WINDOW, window, "config.json", is_everywhere=kinds == {"sliding"}))
    if chunk := _tokens(text.get("attention_chunk_size")):
        found.append(Border("attention chunk", PERIOD, chunk, "config.json"))
    if text.get("mamba_num_heads") and (chunk := _tokens(text.get("chunk_size"))):
        found.append(Border("Mamba chunk", PERIOD, chunk, "config.json"))
    if top := _tokens(text.get("index_topk")):
        found.append(Border("index_topk", POSITION, top, "config.json"))
    ratios = text.get("compress_ratios") or text.get("compress_ratio") or ()
    for ratio in sorted(set(map(_tokens, ratios if isinstance(ratios, list) else [ratios])) - {0}):
        found.append(Border("compress ratio", PERIOD, ratio, "config.json"))
    for original in sorted(set(_originals(text))):
        found.append(Border("length before rotary scaling", POSITION, original, "config.json"))
    return found


def of_setup(setup: Setup) -> list[Border]:
    """Those of how the plan serves a model."""
    found = []
    if setup.block_size:
        found.append(Border("KV block", PERIOD, setup.block_size, "plan"))
    if setup.batch:
        found.append(Border("prefill step", PERIOD, setup.batch, "plan"))
    return found


def of_engine(facts: EngineFacts) -> list[Border]:
    """Those that an open engine tells of: a hybrid model's blocks are as large as its states."""
    found = []
    if size := facts.block_size:
        found.append(Border("KV block", PERIOD, size, "engine"))
    layers = facts.facts.get("attention_layers")
    for layer in layers if isinstance(layers, list) else ():
        size = _tokens(layer.get("block_size")) if isinstance(layer, dict) else 0
        if size:
            found.append(Border("KV block", PERIOD, size, "engine"))
    if step := _tokens(facts.max_num_batched_tokens):
        found.append(Border("prefill step", PERIOD, step, "engine"))
    return found


def joined(*lists: Sequence[Border]) -> list[Border]:
    """All of them, each kind and size once with every name it has."""
    found: dict[tuple[str, int], Border] = {}
    for one in (one for each in lists for one in each):
        key = one.kind, one.tokens
        before = found.get(key)
        if before is None:
            found[key] = one
        elif one.name not in before.name.split(" and "):
            found[key] = Border(
                f"{before.name} and {one.name}", one.kind, one.tokens, before.source
                if one.source in before.source else f"{before.source}, {one.source}", before.is_everywhere,
            )
    return sorted(found.values(), key=lambda one: (one.kind, one.tokens))


def _kinds(config: Mapping[str, Any]) -> set[str]:
    """Kinds of attention of the layers (layer.Layer), none where they are not known."""
    try:
        return {layer.kind for layer in architecture.read(config, "config.json").layers}
    except Exception:  # an architecture that the plan does not know, or a damaged file: the run itself says so
        named = config.get("layer_types") or (config.get("text_config") or {}).get("layer_types") or ()
        known = {"sliding_attention": "sliding", "full_attention": "full", "chunked_attention": "chunked"}
        return {known.get(str(one), "other") for one in named}


def _originals(text: Mapping[str, Any]) -> list[int]:
    """Lengths that a model was trained for before its rotary positions were scaled (YaRN and its kin)."""
    scalings = [text.get("rope_scaling"), text.get("rope_parameters")]
    for one in list(scalings):
        if isinstance(one, dict):
            scalings += [value for value in one.values() if isinstance(value, dict)]
    found = [_tokens(one.get("original_max_position_embeddings")) for one in scalings if isinstance(one, dict)]
    return [one for one in (*found, _tokens(text.get("original_max_position_embeddings"))) if one]


def _tokens(value: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return value if type(value) is int and 1 < value < _MOST else 0
