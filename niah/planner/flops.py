"""Arithmetic of reading a prompt: the part that grows with its length, and the part that grows with its square."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Attention:
    """``count`` layers with ``heads`` query heads; ``width`` is a head's key and value dimensions together.

    ``window`` 0 reads everything before a token; else at most that many tokens (of a chunk: half of it
    on average).
    """

    count: int
    heads: int
    width: int
    window: int = 0
    is_chunk: bool = False


@dataclass(frozen=True)
class Prefill:
    """Floating-point operations of one prompt: matrix products of the weights, and attention.

    ``exchanged`` are the bytes that GPUs which share the layers have to add up among them.
    """

    linear: float
    attention: float
    exchanged: float = 0.0

    @property
    def total(self) -> float:
        return self.linear + self.attention


def prefill(length: int, start: int, active_parameters: float, layers: Sequence[Attention]) -> Prefill:
    """Operations to read tokens [``start``, ``length``) when those before ``start`` come from the cache.

    Two per weight and token; in attention two per pair of tokens, head and dimension, for keys and for
    values (Kaplan et al. 2020, arXiv:2001.08361, section 2.1, with causal attention's half).
    """
    pairs = sum(
        2 * part.count * part.heads * part.width * _pairs(length, start, part.window, part.is_chunk) for part in layers
    )
    return Prefill(2.0 * active_parameters * (length - start), float(pairs))


def _pairs(length: int, start: int, window: int, is_chunk: bool) -> float:
    """(query, key) pairs of queries in [start, length), each with the keys up to itself."""
    if not window:
        return (length - start) * (length + start + 1) / 2
    if is_chunk:  # a token reads its chunk's tokens up to itself
        full, rest = divmod(length, window)
        before, part = divmod(start, window)
        return (full - before) * window * (window + 1) / 2 + rest * (rest + 1) / 2 - part * (part + 1) / 2
    reach = min(window, length)
    ramp = max(0, reach - start)  # the first tokens see fewer than a window
    return ramp * (reach + start + 1) / 2 + (length - max(start, reach)) * reach
