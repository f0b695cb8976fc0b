"""How often `edges` names a pattern of a healthy model, and how often it names a planted one: simulated, no engine.

    python benchmarks/edges.py [models=1000] [seed=0]

Each model is asked the design's own trials. Its right answer's log-probability falls smoothly with length and depth,
each text has its own difficulty, and a prompt that is asked again gives the same but for rounding. Promised: 5%.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from niah.commands.edges import patterns
from niah.commands.edges.design import AGAIN, Design, Room, design
from niah.commands.edges.patterns import Seen
from niah.planner.borders import PERIOD, POSITION, WINDOW, Border
from niah.stats import classes

ROOM = Room(24, 41, 20, 9)
BLOCK = 128
PLACES = [Border("KV block and prefill step", PERIOD, BLOCK, "plan")]
MANY = [*PLACES, Border("sliding window", WINDOW, 1024, "config.json"), Border("chunk", PERIOD, 2048, "config.json"),
        Border("index_topk", POSITION, 2048, "config.json")]


@dataclass(frozen=True)
class Model:
    """A healthy one. ``level`` is the mean of the log-odds of a right answer, ``by_length`` and ``by_depth`` how much
    of it is lost over the whole length and at the middle; ``by_text`` and ``noise`` are standard deviations."""

    name: str
    level: float
    by_length: float
    by_depth: float
    by_text: float
    noise: float
    is_graded: bool = True


HEALTHY = (
    Model("finds everything, constant log-probability", 50, 0, 0, 0, 0),
    Model("finds everything", 8, 0.5, 0.5, 0.5, 0.5),
    Model("falls with length", 3, 4, 0, 0.5, 1),
    Model("falls with length and depth", 2, 3, 3, 1, 1),
    Model("texts differ much", 1, 1, 1, 3, 1),
    Model("half wrong", 0, 0, 0, 1, 1),
    Model("half wrong, not graded", 0, 1, 1, 1, 1, is_graded=False),
)


def answers(made: Design, model: Model, rng: np.random.Generator, longest: int) -> list[Seen]:
    """What a healthy model answers."""
    texts = rng.normal(0, model.by_text, 1 + max(one.repeat for one in made.asked)) if model.by_text else None
    keys = {(one.num_tokens, one.place, one.repeat): number for number, one in enumerate(made.asked)
            if not one.is_again}
    found: list[Seen] = []
    first: dict[int, Seen] = {}
    for number, one in enumerate(made.asked):
        cached = (one.num_tokens - 1) // BLOCK * BLOCK
        if one.is_again:
            before = first[keys[one.num_tokens, one.place, one.repeat]]
            found.append(replace(
                before, zone=one.zone, cached=cached, key=number, twin=before.key,
                strength=before.strength + rng.normal(0, 0.005),
            ))
            continue
        depth = one.place / one.num_tokens
        odds = (
            model.level - model.by_length * one.num_tokens / longest - model.by_depth * 4 * depth * (1 - depth)
            + (texts[one.repeat] if texts is not None else 0) + rng.normal(0, model.noise)
        )
        start = one.place + int(rng.random() < 0.05)
        stop = start + ROOM.needle
        seen = Seen(
            one.zone, one.repeat, one.num_tokens, start, stop, start + ROOM.answer, 0,
            rng.random() > 1 / (1 + np.exp(-odds)),
            float(-np.log1p(np.exp(-odds))) if model.is_graded else float("nan"), number,
        )
        first[number] = seen
        found.append(seen)
    return found


Fault = Callable[[Seen], bool]
FAULTS: dict[str, tuple[list[Border], Fault]] = {
    "wrong at length = 3 mod 4": (PLACES, lambda one: one.num_tokens % 4 == 3),
    "first blocks at residues 0 to 8 mod 16": (
        PLACES, lambda one: one.num_tokens % 16 <= 8 and one.answer < 2 * BLOCK
    ),
    "after a hit that leaves 4 to 10": (
        PLACES, lambda one: one.zone == AGAIN and 4 <= one.num_tokens - one.cached <= 10
    ),
    "last partial block lost": (PLACES, lambda one: one.answer >= one.num_tokens // BLOCK * BLOCK),
    "last 3 of a window": (MANY, lambda one: 1021 <= one.num_tokens - 1 - one.answer < 1024),
    "needle across a chunk's border": (MANY, lambda one: one.start // 2048 != (one.stop - 1) // 2048),
    "beyond index_topk": (MANY, lambda one: one.num_tokens > 2048),
    "one token past a block, half of them": (
        PLACES, lambda one: one.num_tokens % BLOCK == 1 and one.key % 2 == 0
    ),
}


def damaged(seen: list[Seen], fault: Fault, *, is_weak: bool) -> list[Seen]:
    """With the fault: wrong where it strikes, or weaker by two nats with ``is_weak``."""
    return [
        one if not fault(one) else replace(one, strength=one.strength - 2) if is_weak
        else replace(one, is_wrong=True, strength=one.strength - 8)
        for one in seen
    ]


def simulated(num: int, borders: list[Border], longest: int, seed: int) -> Iterator[tuple[Design, np.random.Generator]]:
    for number in range(num):
        yield design(borders, ROOM, longest, 8, seed + number), np.random.default_rng([seed, number])


def main(num: int, seed: int) -> None:
    """Prints both tables."""
    for name, borders in (("blocks of 128", PLACES), ("blocks, window, chunk, index", MANY)):
        for model in HEALTHY:
            named = sum(
                bool(classes.search(patterns.scopes(answers(made, model, rng, 8192), borders), 0.05).found)
                for made, rng in simulated(num, borders, 8160, seed)
            )
            print(f"healthy, {name}, {model.name}: {named / num:.3f} of {num}", flush=True)
    for name, (borders, fault) in FAULTS.items():
        for is_weak in (False, True):
            said: dict[str, int] = {}
            for made, rng in simulated(max(1, num // 50), borders, 8160, seed):
                trials = damaged(answers(made, HEALTHY[1], rng, 8192), fault, is_weak=is_weak)
                found = classes.search(patterns.scopes(trials, borders), 0.05).found
                first = found[0].name if found else "nothing"
                said[first] = said.get(first, 0) + 1
            print(f"fault: {name}, {'weaker' if is_weak else 'wrong'}: {said}", flush=True)


if __name__ == "__main__":
    words = dict(word.split("=") for word in sys.argv[1:])
    main(int(words.get("models", 1000)), int(words.get("seed", 0)))
