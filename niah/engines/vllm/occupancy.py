"""GPU memory that other processes hold, before an engine takes its own: vLLM finds that out half a minute later."""

import time
from collections.abc import Sequence

from niah.environment import cards
from niah.environment.cards import Card
from niah.errors import NiahError

_PATIENCE_SECONDS, _EVERY_SECONDS = 20.0, 2.0
"""An engine that has just ended gives its memory back within seconds."""


def check(num_gpus: int, utilization: float, patience_seconds: float = _PATIENCE_SECONDS) -> None:
    """Raises NiahError where one of the first ``num_gpus`` has less free than the share ``utilization`` of it, which
    vLLM refuses too (v1/worker/utils.py, request_memory).

    Says nothing where nvidia-smi does not tell what is free.
    """
    until = time.monotonic() + patience_seconds
    while occupied := _occupied(cards.seen().cards[:num_gpus], utilization):
        if time.monotonic() >= until:
            raise NiahError(_sentence(occupied, utilization))
        time.sleep(_EVERY_SECONDS)


def _occupied(used: Sequence[Card], utilization: float) -> Card | None:
    """The card with the least left, of those that have too little."""
    known = [card for card in used if card.free_mib is not None]
    short = [card for card in known if (card.free_mib or 0.0) < utilization * card.usable_mib]
    return min(short, key=lambda card: card.free_mib or 0.0, default=None)


def _sentence(card: Card, utilization: float) -> str:
    free, total = (card.free_mib or 0.0) / 1024, card.usable_mib / 1024
    held = cards.holders(card)
    sizes = [f", {one.memory_mib / 1024:.1f} GiB" if one.memory_mib else "" for one in held]
    names = [f"{one.pid} ({one.name}{size})" for one, size in zip(held, sizes, strict=True)]
    who = f"held by process {', '.join(names)}; end it" if held else "nvidia-smi names no process that holds the rest"
    less = int(100 * free / total - 1) / 100
    smaller = f", or set engine.gpu_memory_utilization={less}" if less >= 0.1 else ""
    return (
        f"engine=vllm: GPU {card.index} ({card.name}) has {free:.1f} of {total:.1f} GiB free; "
        f"engine.gpu_memory_utilization={utilization} takes {utilization * total:.1f}; {who}, choose other GPUs with "
        f"CUDA_VISIBLE_DEVICES{smaller}"
    )
