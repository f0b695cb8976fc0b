"""A cache of KV blocks for one prompt at a time: vLLM's rule, and the best one there is for a given order.

vLLM's (v1/core/block_pool.py): a prompt takes the blocks that its beginning is found in, then new ones from the front
of the queue of free blocks; when it is done its blocks go to the back of the queue, the last of the prompt first.
Belady's (1966): what is needed again last is given up first, which no rule can beat; it knows what comes.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import numpy as np

from niah.runs.beginnings import Beginnings

Chain = list[int]
"""A prompt's whole blocks, each named by all that stands before it too."""


def chains(prompts: Sequence[np.ndarray], block_size: int) -> list[Chain]:
    counted, found = Beginnings(block_size), []
    for ids in prompts:
        name, chain = 0, []
        for digest in counted.digests(ids).tolist():
            name = hash((name, digest))
            chain.append(name)
        found.append(chain)
    return found


def room_for(prompts: Sequence[np.ndarray], block_size: int, answer_tokens: int) -> int:
    """Blocks of the longest prompt with its answer, whose last token is not kept."""
    return max(_taken(ids, block_size, answer_tokens) for ids in prompts)


def _taken(ids: np.ndarray, block_size: int, answer_tokens: int) -> int:
    return -(-(len(ids) + answer_tokens - 1) // block_size)


def least_recently_used(
    prompts: Sequence[np.ndarray], block_size: int, num_blocks: int, answer_tokens: int
) -> list[int]:
    """Tokens of each prompt, in this order, that vLLM's pool of so many blocks holds when it comes."""
    free = OrderedDict.fromkeys(range(num_blocks))
    name_of: dict[int, int] = {}
    held: dict[int, list[int]] = defaultdict(list)
    found = []
    for ids, chain in zip(prompts, chains(prompts, block_size), strict=True):
        hit = 0
        while hit < min(len(chain), (len(ids) - 1) // block_size) and held[chain[hit]]:
            hit += 1
        own = [held[name][0] for name in chain[:hit]]
        for block in own:
            del free[block]
        for place in range(hit, _taken(ids, block_size, answer_tokens)):
            block, _ = free.popitem(last=False)
            if block in name_of:
                held[name_of.pop(block)].remove(block)
            if place < len(chain):
                name_of[block] = chain[place]
                held[chain[place]].append(block)
            own.append(block)
        free.update(OrderedDict.fromkeys(reversed(own)))
        found.append(hit * block_size)
    return found


def belady(prompts: Sequence[np.ndarray], block_size: int, num_blocks: int, answer_tokens: int) -> list[int]:
    """The same where the pool keeps what is needed again soonest."""
    made = chains(prompts, block_size)
    uses: dict[int, list[int]] = defaultdict(list)
    for number, chain in enumerate(made):
        for name in chain:
            uses[name].append(number)
    depth = {name: place for chain in made for place, name in enumerate(chain)}
    cached: set[int] = set()
    found = []
    for number, (ids, chain) in enumerate(zip(prompts, made, strict=True)):
        hit = 0
        while hit < min(len(chain), (len(ids) - 1) // block_size) and chain[hit] in cached:
            hit += 1
        found.append(hit * block_size)
        room = num_blocks - _taken(ids, block_size, answer_tokens)

        def next_use(name: int, after: int = number) -> tuple[int, int]:
            return next((use for use in uses[name] if use > after), len(made)), depth[name]

        cached = {*sorted(cached - {*chain}, key=next_use)[:room], *chain}
    return found
