"""Tokens computed to tokens needed, by kind of run: ``python benchmarks/trie.py [KIND...]``, or ``... small``.

Each kind is a run of SmolLM2 in vLLM over 512 and 1K, three depths, two repeats. Needed are the tokens in the trie of a
run's prompts, in the engine's blocks (niah/runs/beginnings.py): where the cache holds the prompts of a repeat, no order
does with fewer.

``small`` needs no engine: the prompts of 512 to 8K by eleven depths, in blocks of 16, and a cache with room for the
longest of them alone, simulated. "grid" is the order by depth that a run takes where the cache holds a repeat's
prompts, "trie" the one that it takes where it does not. Belady's is the least that a cache of that size does with in
the grid's order, the bound what it does with in the best order.

vLLM's (v1/core/block_pool.py): a prompt takes the blocks that its beginning is found in, then new ones from the front
of the queue of free blocks; when it is done its blocks go to the back of the queue, the last of the prompt first.
Belady's (1966): what is needed again last is given up first, which no rule can beat; it knows what comes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from niah import grid
from niah.commands import hydra
from niah.config import Run, build
from niah.prompts.recipe import Recipe
from niah.records import Trial
from niah.runs.beginnings import Beginnings, depth_first

KINDS = {
    "single": (),
    "multikey, 16 keys": ("task=multikey", "task.num_keys=16"),
    "conflicting": ("task=conflicting",),
    "chain": ("task=chain",),
    "words (aggregate)": ("task=aggregate", "ctx.lengths=[1k,2k]"),
    "reader=bm25": ("reader=bm25", "reader.budget=256"),
    "reader=oracle": ("reader=oracle",),
    "share=depths": ("ctx.share=depths",),
    "share=lengths": ("ctx.share=lengths",),
    "four prompts at once": ("engine.max_num_seqs=4",),
    "two replicas": ("engine.replicas=2",),
    "kv=fp8": ("kv=fp8",),
}
SMALL = {
    **{kind: words for kind, words in KINDS.items() if not any("engine" in word or "kv=" in word for word in words)},
    "ordered": ("task=ordered",), "words (aggregate)": ("task=aggregate", "ctx.lengths=[1k,2k,4k,8k]"),
}
SMALL_GRID = ("ctx.lengths=[512,1k,2k,4k,8k]", "engine=fake")
BLOCK = 16
GRID = ("ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]", "ctx.repeats=2")


def main() -> None:
    if sys.argv[1:2] == ["small"]:
        return small(sys.argv[2:] or list(SMALL))
    print("kind                    sent   computed     needed  ratio")
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "-m", "niah", *GRID, *KINDS[kind], f"outputs={folder}", "name=run",
                "engine.cold_check=0", "engine.graded=false", "report.formats=[]", "report.page=false",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{kind:20} {done.stderr.splitlines()[-1]}", flush=True)
                continue
            session = json.loads((Path(folder) / "run" / "run.json").read_text())["sessions"][-1]
            one = next(iter(session["tokens"].values()))
            print(
                f"{kind:20} {one['sent']:7,} {one['computed']:10,} {one['needed']:10,} "
                f"{one['computed'] / one['needed']:6.3f}", flush=True,
            )


def small(kinds: Sequence[str]) -> None:
    """The table of a cache for one prompt."""
    os.environ["NIAH_RESTARTED"] = "1"
    print("kind                    sent    by plan      bound  grid, LRU  grid, Belady  trie, LRU")
    for kind in kinds:
        runs: list[Run] = []

        def taken(config: Any, runs: list[Run] = runs) -> int:
            runs.append(build(config))
            return 0

        hydra.run(hydra.adapted([*SMALL_GRID, *SMALL[kind]]), taken)
        recipe = Recipe(runs[0])
        trials = grid.in_running_order(recipe.trials, runs[0].ctx.share)
        prompts = {trial: recipe.build(trial).prompt.ids for trial in trials}
        ordered = [prompts[trial] for trial in trials]
        answer = runs[0].answer_tokens
        room = room_for(ordered, BLOCK, answer)
        counted = Beginnings(BLOCK)
        bound = sum(counted.needed(0, ids) for ids in ordered)
        sent, share = sum(map(len, ordered)), runs[0].ctx.share
        reads_all = runs[0].reader.reads_all
        plan = sent - sum(grid.expected_reuse(trials, share)) if reads_all else sent
        walked = [prompts[trial] for trial in as_a_trie(trials, prompts)] if reads_all else ordered
        found = [
            (sent - sum(rule(some, BLOCK, room, answer))) / bound
            for rule, some in ((least_recently_used, ordered), (belady, ordered),
                               (least_recently_used, walked))
        ]
        ratios = f"{found[0]:10.3f} {found[1]:13.3f} {found[2]:10.3f}"
        print(f"{kind:20} {sent:7,} {plan:10,} {bound:10,} {ratios}", flush=True)


def as_a_trie(trials: Sequence[Trial], prompts: dict[Trial, np.ndarray]) -> list[Trial]:
    """The order that a run takes where the cache is small."""
    counted, found = Beginnings(BLOCK), list[Trial]()
    for _, group in groupby(trials, key=lambda trial: trial.repeat):
        own = list(group)
        found += [own[place] for place in depth_first([counted.digests(prompts[trial]) for trial in own])]
    return found


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


if __name__ == "__main__":
    main()
