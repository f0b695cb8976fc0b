"""KV caches of transformers: its own, those that keep another number format, and its quantized ones."""

import copy
from typing import Any

import torch
from transformers import DynamicCache, QuantizedCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from niah.errors import NiahError
from niah.planner import transformers

_KEPT = {
    "bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32, "fp8": torch.float8_e4m3fn,
    "fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2,
}


class _Cast(DynamicLayer):
    """Keeps keys and values in ``kept`` and gives them back in the format they came in.

    What a step adds is rounded too (to the nearest, or towards zero) before it is read, as in an engine that reads all
    of it from its cache. Scale 1.0; values beyond the format's range become its largest.
    """

    kept: torch.dtype
    truncates: bool = False

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = super().update(self._rounded(key_states), self._rounded(value_states), *args, **kwargs)
        return keys.to(key_states.dtype), values.to(value_states.dtype)

    def _rounded(self, states: torch.Tensor) -> torch.Tensor:
        limit = min(torch.finfo(self.kept).max, torch.finfo(states.dtype).max)
        rounded = states.clamp(-limit, limit).to(self.kept)
        if self.truncates:
            # one step down where the nearest lies further from zero: magnitudes are ordered as their bits
            bits = rounded.view(torch.uint8 if rounded.element_size() == 1 else torch.int16)
            rounded = (bits - (rounded.float().abs() > states.float().abs()).to(bits.dtype)).view(self.kept)
        return rounded


class CastLayer(_Cast, DynamicLayer):
    """Full attention."""


class CastSlidingLayer(_Cast, DynamicSlidingWindowLayer):
    """The last tokens of a window."""


def empty_cache(config: Any, cache_dtype: str, compute: torch.dtype, *, truncates: bool = False) -> Any:
    """An empty cache for a model's config. ``truncates``: formats with fewer bits are cut off, not rounded.

    Raises NiahError where its layers have no such cache.
    """
    if cache_dtype in transformers.QUANTIZED_BITS:
        backend, _, bits = cache_dtype.partition("_int")
        # axis 0 for hqq too: along axis 1 it packs pairs of rows, and an odd number of tokens fails
        axes = {"axis_key": 0, "axis_value": 0}
        return QuantizedCache(backend, config, nbits=int(bits), **axes, q_group_size=transformers.GROUP)
    cache = DynamicCache(config=config)
    if _KEPT[cache_dtype] == compute:
        return cache
    for place, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            changed: Any = CastLayer()
        elif type(layer) is DynamicSlidingWindowLayer:
            changed = CastSlidingLayer(layer.sliding_window)
        elif hasattr(layer, "recurrent_states"):
            continue  # a state, which no KV dtype is about
        else:
            raise NiahError(
                f"kv.dtype={cache_dtype}: no such cache for layers of {type(layer).__name__}; expected the model's own "
                "number format"
            )
        changed.kept, changed.truncates = _KEPT[cache_dtype], truncates and _KEPT[cache_dtype] != torch.float32
        cache.layers[place] = changed
    return cache


def can_be_cut_anywhere(cache: Any) -> bool:
    """Whether all that was read is still there: no windows, no states, nothing quantized in groups."""
    return all(type(layer) in (DynamicLayer, CastLayer) for layer in cache.layers)


def fork(cache: Any) -> Any:
    """The same cache, to go on from twice: itself where it can be cut back afterwards, else a copy."""
    if isinstance(cache, QuantizedCache):  # it says it can be cut, but would cut only what is not quantized yet
        other = copy.copy(cache)
        other.layers = [copy.copy(layer) for layer in cache.layers]  # an update makes new tensors and leaves these
        return other
    cache.activate_past_recording()
    return cache if cache.is_croppable else copy.deepcopy(cache)
