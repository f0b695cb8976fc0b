"""What speculation adds to a model: the layers that draft, their weights and their share of the KV cache.

vLLM keeps the cache of the layers that draft beside the model's own, in the same pool
(v1/spec_decode/llm_base_proposer.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from niah.errors import NiahError
from niah.models import weights
from niah.models.files import ModelFiles
from niah.models.resolve import config_of, files_of
from niah.models.settings import Model
from niah.models.speculation import Speculation
from niah.planner import architecture
from niah.planner.architecture import Architecture, UnknownArchitectureError
from niah.planner.layer import Layer

_NUM_LAYERS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
"""Keys of a config.json that count layers for more tokens than the next (vLLM's config/speculative.py)."""
_STATES = {"eagle": 2, "eagle3": 3}
"""Vectors of the model's width that a head's first product takes: its own and one of the model's, or three of them."""


def num_own_layers(config: Mapping[str, Any]) -> int:
    """Layers for more tokens than the next that a model has by its config.json, or by niah's own file of it."""
    text = {**config, **config.get("text_config", {})}
    own = (config.get("niah") or {}).get("num_nextn_predict_layers", 0)
    return next((value for key in _NUM_LAYERS if isinstance(value := text.get(key), int) and value > 0), own)


def check(speculation: Speculation, model: Model) -> None:
    """Raises NiahError where the model has no layers to draft with, or the files of what drafts are not there."""
    if speculation.method == "mtp" and not num_own_layers(config_of(model)):
        raise NiahError(
            f"spec={speculation.name}: model={model.name} has no layers for more tokens than the next (its config.json "
            f"has none of {', '.join(_NUM_LAYERS)}); expected spec=ngram, or spec=eagle3 spec.model=PATH"
        )
    files(speculation, model)


def files(speculation: Speculation, model: Model) -> ModelFiles | None:
    """Those of the model that drafts; None where there is none. Raises NiahError as ``files_of`` does."""
    if not speculation.model:
        return None
    with _as_spec():
        return files_of(_as_model(speculation, model))


def check_weights(speculation: Speculation, model: Model) -> None:
    """As those of the model itself, before an engine starts. Raises NiahError where they are missing, cut, or pickled
    without ``model.allow_pickle``."""
    if found := files(speculation, model):
        with _as_spec():  # a head has other layers than its config.json counts
            weights.check(found, allow_pickle=model.allow_pickle, is_whole=speculation.method == "draft_model")


def added(shape: Architecture, speculation: Speculation, model: Model) -> Architecture:
    """The model with what drafts for it; itself for n-grams, which take no memory of the GPU.

    Raises UnknownArchitectureError for a model that drafts and is not known to the plan.
    """
    if speculation.method == "mtp":
        last = next(layer for layer in reversed(shape.layers) if layer.attends)
        if last.num_parts == 1 and (others := [one for one in shape.layers if one.kind == "feed_forward"]):
            last = _with_feed_forward(last, others[-1])
        joined = replace(last, whole_parameters=last.whole_parameters + 2 * shape.hidden_size**2)
        return replace(shape, layers=(*shape.layers, *[joined] * num_own_layers(config_of(model))))
    found = files(speculation, model)
    if found is None:
        return shape
    config = found.config
    own = architecture.read(config, f"spec.model={speculation.model}")
    tables = own.head_parameters or own.embedding_parameters  # of a head: the embeddings are the model's
    if vocabulary := config.get("draft_vocab_size"):
        tables = vocabulary * own.hidden_size
    if speculation.method == "draft_model":
        tables = own.embedding_parameters + own.head_parameters
    states = _STATES.get(speculation.method, 0) * shape.hidden_size * own.hidden_size
    first, *others = map(_whole, own.layers)
    first = replace(first, whole_parameters=first.whole_parameters + tables + states)
    return replace(shape, layers=(*shape.layers, first, *others))


def note(speculation: Speculation, model: Model) -> str:
    """What to say of a model that drafts whose memory the plan cannot count; else empty."""
    try:
        added(architecture.of(model), speculation, model)
    except UnknownArchitectureError as error:
        return f"spec={speculation.name}: the plan does not count the memory of what drafts ({error})"
    return ""


def _with_feed_forward(layer: Layer, other: Layer) -> Layer:
    """Nemotron's layer for one more token is a block of attention and one of experts."""
    return replace(
        layer, mlp_parameters=other.mlp_parameters, expert_parameters=other.expert_parameters,
        active_expert_parameters=other.active_expert_parameters,
        whole_parameters=layer.whole_parameters + other.whole_parameters,
    )


def _whole(layer: Layer) -> Layer:
    """The layer with its weights unquantized on every GPU: what drafts has a number format of its own."""
    inside = layer.heads_parameters + layer.cache_parameters + layer.mlp_parameters + layer.expert_parameters
    return replace(
        layer, heads_parameters=0, cache_parameters=0, mlp_parameters=0, expert_parameters=0,
        active_expert_parameters=0, whole_parameters=layer.whole_parameters + inside,
    )


@contextmanager
def _as_spec() -> Iterator[None]:
    """Errors about a model's files name the setting that named these."""
    try:
        yield
    except NiahError as error:
        raise NiahError(str(error).replace("model.path", "spec.model")) from error


def _as_model(speculation: Speculation, model: Model) -> Model:
    return replace(
        model, name=speculation.name, path=speculation.model, revision=None, architecture="", weights="bf16",
        repositories={}, label="",
    )
