"""What prompts are put under: alone, a warm cache, others in flight, a small pool; and whether it came about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from niah.commands.pressure import orders
from niah.commands.pressure.orders import Order, Told
from niah.commands.pressure.settings import PressureSettings
from niah.engines import Load
from niah.records import Row

ALONE, OTHERS = "alone", "others"
"""The reference; and the condition that says how much rounding depends on what else is in a step."""
_AS_IT_IS = Load()


@dataclass(frozen=True)
class Condition:
    """``folder`` is its run's, ``what`` what it does to a prompt. ``needs`` is what has to have been seen for it to be
    tested: others (in flight), preemptions, hits, parts (of a prompt that were hits), restored (tokens)."""

    name: str
    folder: str
    what: str
    order: Order = orders.apart
    load: Load = _AS_IT_IS
    needs: str = ""


@dataclass(frozen=True)
class Room:
    """Blocks of the KV pool that the longest prompt takes, and those of the engine's own pool; 0 where it does not
    tell. ``batch``: tokens that it reads in one step."""

    of_one: int = 0
    own: int = 0
    batch: int = 0


def room(facts: Mapping[str, Any]) -> Room:
    """As an open engine tells it. vLLM's size in tokens is that of prompts of max_model_len: so it counts all groups of
    a hybrid model's blocks."""
    size, own = _number(facts.get("block_size")), _number(facts.get("num_kv_blocks"))
    longest, tokens = _number(facts.get("max_model_len")), _number(facts.get("kv_cache_size_tokens"))
    batch = min(_number(facts.get("max_num_batched_tokens")), longest)  # vLLM takes no more for one prompt's part
    if not (size and own and longest):
        return Room(batch=batch)
    return Room(ceil(own * longest / tokens) if tokens else ceil(longest / size), own, batch)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def alone() -> Condition:
    return Condition(ALONE, ALONE, "one at a time, nothing in the prefix cache")


def others(settings: PressureSettings, found: Room) -> list[Condition]:
    """All but the reference, which tells the ``found`` room."""
    num, pool = settings.others, f"{settings.pool:g}"
    small = 1 + ceil(settings.pool * found.of_one) if found.of_one else 0
    enough = 1 + (1 + num) * found.of_one
    many = Load(1 + num, enough if found.of_one and found.own < enough else 0)
    few, tight = Load(1, small, is_small=True), Load(1 + num, small, is_small=True)
    offload = Load(1, small, is_small=True, offload_gib=settings.offload_gib)
    return [
        Condition("again", "again", "repeated at once, from the prefix cache", orders.again, needs="hits"),
        Condition(
            "beginnings", "beginnings", "behind other prompts that begin like it", orders.behind_others, needs="hits"
        ),
        Condition(OTHERS, f"{OTHERS}-{num}", f"among {num} others in flight", load=many, needs="others"),
        Condition(
            "preempted", f"preempted-{num}-{pool}", f"among {num} others in a pool for {pool} prompts", load=tight,
            needs="preemptions",
        ),
        Condition(
            "evicted", f"evicted-{pool}", f"again after part of it was driven out of a pool for {pool} prompts",
            orders.after_eviction, few, "parts",
        ),
        Condition(
            "restored", f"restored-{pool}-{settings.offload_gib:g}",
            f"again after it was driven out of a pool for {pool} prompts, from the offload tier", orders.after_eviction,
            offload, "restored",
        ),
    ]


def missing(own: Condition, rows: Sequence[Row], told: Told, block: int) -> str:
    """Why the condition did not come about; empty where it did. ``block`` is the engine's, in tokens."""
    needs = own.needs
    cached = [(row.num_cached_tokens or 0, row.num_prompt_tokens) for row in rows]
    if needs == "others" and told.at_once < 2:
        return "no two prompts were in flight"
    if needs == "hits" and not any(hit for hit, _ in cached):
        return "no prefix-cache hit was seen"
    if needs == "preemptions" and not told.counters.get("num_preemptions"):
        return "no preemption was seen" if "num_preemptions" in told.counters else "this engine counts no preemptions"
    if needs == "parts" and not any(0 < hit < num - 2 * block or _is_beyond(own.load, hit, num, block)
                                    for hit, num in cached):
        return "no prompt was found in part"
    if needs == "restored" and not told.counters.get("external_prefix_cache_hits"):
        return "nothing was restored"
    return ""


def _is_beyond(load: Load, hit: int, num: int, block: int) -> bool:
    """Whether a hit is more than a pool that has no room for two such prompts can have kept: what was driven out was
    found all the same."""
    return hit > 0 and 0 < load.num_blocks * block < 2 * num
