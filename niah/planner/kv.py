"""How many KV-cache blocks a request needs and a GPU holds: vLLM's own rules, as arithmetic.

Follows vLLM 0.32, v1/core/kv_cache_utils.py (get_kv_cache_groups, get_kv_cache_config_from_groups,
get_kv_cache_capacity) and v1/kv_cache_interface.py, for layer-outermost cache layouts, its default.
Bytes are those of one GPU (rank); blocks hold ``block_size`` tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any


@dataclass(frozen=True)
class Layers:
    """``count`` layers whose cache is alike.

    ``kind`` is full, sliding (the last ``window`` tokens), chunked (``window`` is the chunk) or state
    (``state_bytes`` a layer, whatever the length; ``states`` of them with a prefix cache: the running one, the one
    that a hit starts from, and for Mamba 2 one that a step leaves inside a prompt). ``token_bytes`` is what a layer
    keeps of a token.
    """

    kind: str
    count: int
    token_bytes: int = 0
    window: int = 0
    state_bytes: int = 0
    states: int = 2


@dataclass(frozen=True)
class Group:
    """Layers that share a block table. ``block_bytes`` are those of one block in all of them."""

    kind: str
    num_layers: int
    block_size: int
    block_bytes: int
    window: int = 0
    states: int = 2


@dataclass(frozen=True)
class Pool:
    """The cache of one GPU: its groups, and the bytes of a block, which are those of the widest group."""

    groups: tuple[Group, ...]
    block_size: int
    block_bytes: int

    def blocks_per_request(self, length: int, in_flight: int, *, dcp: int = 1, prefix_caching: bool = True) -> int:
        """Blocks that a request of ``length`` tokens holds at most, over all groups.

        ``in_flight`` tokens are scheduled and not yet settled; ``dcp`` shards full attention by tokens.
        """
        return sum(_blocks(group, length, in_flight, dcp, prefix_caching) for group in self.groups)

    def required_bytes(self, length: int, in_flight: int, **how: Any) -> int:
        """Bytes with which vLLM admits one request of ``length``: its blocks and the null block."""
        return (self.blocks_per_request(length, in_flight, **how) + 1) * self.block_bytes

    def num_blocks(self, available_bytes: int) -> int:
        return max(0, available_bytes) // self.block_bytes

    def concurrency(self, available_bytes: int, length: int, in_flight: int, **how: Any) -> float:
        """Requests of ``length`` that fit at once ("Maximum concurrency" in vLLM's log)."""
        return self.num_blocks(available_bytes) / self.blocks_per_request(length, in_flight, **how)

    def num_tokens(self, available_bytes: int, length: int, in_flight: int, **how: Any) -> int:
        """vLLM's "KV cache size: N tokens", which depends on ``length`` where layers forget."""
        return int(self.concurrency(available_bytes, length, in_flight, **how) * length)

    def fits(self, available_bytes: int, length: int, in_flight: int, **how: Any) -> bool:
        return available_bytes >= self.required_bytes(length, in_flight, **how)

    def longest(self, available_bytes: int, limit: int, in_flight: int, **how: Any) -> int:
        """The longest length that fits, at most ``limit``; 0 where none does."""
        if self.fits(available_bytes, limit, in_flight, **how):
            return limit
        low, high = 0, limit
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.fits(available_bytes, middle, in_flight, **how) else (low, middle)
        return low


def pool(layers: Sequence[Layers], block_size: int, *, hybrid: bool = True) -> Pool:
    """The groups that vLLM makes of a model's layers; without ``hybrid`` windows are kept whole."""
    if not hybrid and any(part.kind == "full" for part in layers):
        layers = [replace(part, kind="full") if part.kind in ("sliding", "chunked") else part for part in layers]
    block_size = _raised(layers, block_size)
    layers = _merged([part for part in layers if part.count])
    if len({(part.kind, part.window if part.kind != "full" else 0) for part in layers}) == 1:
        # one table for all, also where full layers keep different numbers of bytes
        width = sum(part.count * _page(part, block_size) for part in layers)
        count = sum(part.count for part in layers)
        first = layers[0]
        return Pool((Group(first.kind, count, block_size, width, first.window, first.states),), block_size, width)
    return _of_equal_pages(layers, block_size)


def _of_equal_pages(layers: Sequence[Layers], block_size: int) -> Pool:
    """Groups of as many layers each, all pages as large as the largest (more tokens a block, or padding)."""
    page = max(_page(part, block_size) for part in layers if part.kind != "state")
    buckets: dict[tuple[str, int, int, int], int] = {}
    for part in layers:
        size = block_size
        if part.kind != "state" and page % _page(part, block_size) == 0:
            size = block_size * (page // _page(part, block_size))
        key = (part.kind, size, part.window if part.kind != "full" else 0, part.states)
        buckets[key] = buckets.get(key, 0) + part.count
    fewest, most = min(buckets.values()), max(buckets.values())
    # vLLM: the smallest kind sets the size of a group, unless the largest has hardly more layers
    group_size = most if most < 1.5 * fewest else fewest
    groups = []
    for (kind, size, window, states), count in buckets.items():
        num_groups = ceil(count / group_size)
        for number in range(num_groups):
            num_layers = len(range(number, count, num_groups))
            groups.append(Group(kind, num_layers, size, num_layers * page, window, states))
    return Pool(tuple(groups), block_size, max(group.block_bytes for group in groups))


def _raised(layers: Sequence[Layers], block_size: int) -> int:
    """The block size at which a page of attention is no smaller than a layer's state."""
    state = max((part.state_bytes for part in layers), default=0)
    token = max((part.token_bytes for part in layers if part.kind != "state"), default=0)
    return max(block_size, block_size * ceil(state / (block_size * token))) if state and token else block_size


def _merged(layers: Sequence[Layers]) -> list[Layers]:
    counts: dict[Layers, int] = {}
    for part in layers:
        alike = replace(part, count=0, window=0 if part.kind == "full" else part.window)
        counts[alike] = counts.get(alike, 0) + part.count
    return [replace(alike, count=count) for alike, count in counts.items()]


def _page(part: Layers, block_size: int) -> int:
    return part.state_bytes if part.kind == "state" else part.token_bytes * block_size


def _blocks(group: Group, length: int, in_flight: int, dcp: int, prefix_caching: bool) -> int:
    if group.kind == "full":
        return ceil(ceil(length / dcp) / group.block_size)
    if group.kind == "sliding":  # one more: a window may begin inside a block
        return ceil(min(group.window - 1 + in_flight, length) / group.block_size) + 1
    if group.kind == "chunked":
        return ceil(min(group.window + in_flight, length) / group.block_size)
    return group.states if prefix_caching else 1
