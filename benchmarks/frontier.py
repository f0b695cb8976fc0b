"""`frontier` on simulated models: how often its interval holds the effective length, and the tokens that takes.

    python benchmarks/frontier.py [models]      2,000 models a family; numpy alone, one core, minutes

Each family is a way in which accuracy may fall with length and depth: as the chooser's surface has it; as it has not
(cliffs, bands of depth, a dip at one length, all at the threshold's edge); and the same with contexts whose trials are
alike (correlation 0.3 and 0.6 of the normal variables behind the trials of a repeat, over all lengths).

Compared is a grid of five repeats, 11 depths a length, its prefixes reused as in a run; its guess is the last length of
the ladder before the first whose accuracy lies below the threshold.
"""

import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from scipy.special import expit, ndtri

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from niah.grid import DEPTHS
from niah.stats.effective_length import leading
from niah.stats.frontier import Frontier
from niah.stats.psychometric import Surface

LENGTHS = tuple(8192 * 2**number for number in range(8))
THRESHOLD, CONFIDENCE, MOST, BATCH, REPEATS = 0.85, 0.95, 150, 4, 5
STEPS = np.log2(LENGTHS)[None, :, None]
DEPTH = np.asarray(DEPTHS)[None, None, :] / 100
COLUMN = 1 + float((1 - DEPTH).sum())
"""Contexts that the 11 depths of a length compute, prefixes reused: the deepest whole, others from their needles on."""


def well_specified(rng: np.random.Generator, num: int) -> np.ndarray:
    """Accuracy (models, lengths, depths), as the surface has it, between its grid's points."""
    location, slope = rng.uniform(12.5, 21, num), np.exp(rng.uniform(np.log(0.7), np.log(6), num))
    lapse, dip = rng.uniform(0, 0.08, num), rng.uniform(0, 1.5, num)
    at, fall, lost, middle = (one[:, None, None] for one in (location, slope, lapse, dip))
    return (1 - lost) * expit(fall * (at - middle * np.sin(np.pi * DEPTH) - STEPS))


def misspecified(rng: np.random.Generator, num: int) -> np.ndarray:
    """What the surface has not: a fifth each of cliffs, depths that are lost, one bad length, a slow straight fall, and
    a length at the threshold's edge between good ones and bad ones."""
    kinds = rng.integers(0, 5, num)[:, None, None]
    at = rng.uniform(12.5, 21, num)[:, None, None]
    cliff = np.where(at >= STEPS, 0.985, rng.uniform(0, 0.8, num)[:, None, None])
    begun, width = rng.uniform(0, 0.8, num)[:, None, None], rng.uniform(0.1, 0.4, num)[:, None, None]
    band = np.where((begun <= DEPTH) & (begun + width >= DEPTH) & (at <= STEPS), 0.05, 0.97) + 0 * STEPS
    bad = rng.integers(0, len(LENGTHS), num)[:, None, None] == np.arange(len(LENGTHS))[None, :, None]
    one = np.where(bad, 0.6, np.where(at >= STEPS, 0.98, 0.4))
    slow = np.clip(0.99 - rng.uniform(0.01, 0.08, num)[:, None, None] * (STEPS - 13), 0, 1)
    near = THRESHOLD + rng.uniform(-0.04, 0.06, num)[:, None, None]
    edge = np.where(at - 1 >= STEPS, 0.98, np.where(at >= STEPS, near, 0.5))
    parts = [np.broadcast_to(part, (num, len(LENGTHS), DEPTH.size)) for part in (cliff, band, one, slow, edge)]
    return np.choose(kinds, parts)


@dataclass(frozen=True)
class Found:
    """Of each model: the truth, the interval (numbers of lengths), the chooser's guess, tokens and contexts."""

    truth: np.ndarray
    low: np.ndarray
    high: np.ndarray
    guess: np.ndarray
    tokens: np.ndarray
    contexts: np.ndarray


def scores(
    rng: np.random.Generator, cells: np.ndarray, common: np.ndarray, correlation: float
) -> np.ndarray:
    """Right or wrong of one context's depths, (n, depths); ``common`` (n,) is what its repeat has at all lengths."""
    noise = rng.standard_normal(cells.shape) * np.sqrt(1 - correlation) + common[:, None] * np.sqrt(correlation)
    return (ndtri(np.clip(cells, 1e-9, 1 - 1e-9)) > noise).astype(float)


def searched(
    cells: np.ndarray, correlation: float, *, all_depths: bool, cost: float, seed: int, confidence: float = CONFIDENCE
) -> Found:
    """The search on models with these accuracies, each until nothing is left to ask; ``cost`` is that of a context in
    lengths."""
    rng, num = np.random.default_rng(seed), len(cells)
    common = rng.standard_normal((num, MOST))
    chosen = rng.integers(0, len(DEPTHS), (num, MOST))  # the one depth of a repeat
    surface = Surface(LENGTHS, DEPTHS, THRESHOLD)
    frontier = Frontier(surface, [cost * length for length in LENGTHS], confidence, MOST, num)
    tokens, going = np.zeros(num), np.arange(num)
    for step in count():
        if step % BATCH == 0:
            places = frontier.next(going)
            going, places = going[places >= 0], places[places >= 0]
        is_open = frontier.counts[going, places] < MOST
        going, places = going[is_open], places[is_open]
        if not len(going):
            break
        repeats = frontier.counts[going, places]
        made = scores(rng, cells[going, places], common[going, repeats], correlation)
        if not all_depths:
            is_one = np.arange(len(DEPTHS)) == chosen[going, repeats][:, None]
            made = np.where(is_one, made, np.nan)
        frontier.tell(going, places, made)
        tokens[going] += cost * np.asarray(LENGTHS)[places]
    low, high = frontier.interval()
    truth = leading(cells.mean(-1) >= THRESHOLD)
    return Found(truth, low, high, frontier.chances().argmax(-1), tokens, frontier.counts.sum(-1))


def grid_guess(cells: np.ndarray, correlation: float, seed: int) -> np.ndarray:
    """What a grid of five repeats would say."""
    rng = np.random.default_rng(seed)
    total = np.zeros(cells.shape[:2])
    for _ in range(REPEATS):
        common = rng.standard_normal(len(cells))
        for place in range(len(LENGTHS)):
            total[:, place] += scores(rng, cells[:, place], common, correlation).mean(-1)
    return leading(total / REPEATS >= THRESHOLD)


def main(num: int) -> None:
    families = {"as the surface has it": well_specified, "as it has not": misspecified}
    plain, reused, shared = (
        REPEATS * column * sum(LENGTHS) for column in (len(DEPTHS), COLUMN, 1.0)
    )
    print(
        f"{num} models a line, {len(LENGTHS)} lengths 8K to 1M, threshold {THRESHOLD}, confidence {CONFIDENCE:.0%}, at "
        f"most {MOST} contexts a length; a grid of {REPEATS} repeats computes {plain / 1e6:.1f}M tokens, with prefixes "
        f"reused {reused / 1e6:.1f}M, with contexts shared {shared / 1e6:.1f}M\n"
    )
    columns = (
        "models", "correlation", "a context", "holds the truth", "one length", "two at most", "guess right",
        "a grid's", "contexts", "tokens, median (90%)", "of the grid", "of it reused", "of it shared",
    )
    print("|" + "|".join(f" {one} " for one in columns) + "|\n|" + "---|" * len(columns))
    for name, family in families.items():
        for correlation in (0.0, 0.3, 0.6):
            cells = family(np.random.default_rng(1), num)
            theirs = (grid_guess(cells, correlation, 2) == leading(cells.mean(-1) >= THRESHOLD)).mean()
            for what, all_depths in (("one depth", False), ("11 depths, shared", True)):
                found = searched(cells, correlation, all_depths=all_depths, cost=1.0, seed=3)
                holds, width = (found.low <= found.truth) & (found.truth <= found.high), found.high - found.low
                middle, most = np.quantile(found.tokens, [0.5, 0.9])
                values = (
                    name, f"{correlation:g}", what, f"{holds.mean():.4f}", f"{(width == 0).mean():.2f}",
                    f"{(width <= 1).mean():.2f}", f"{(found.guess == found.truth).mean():.2f}", f"{theirs:.2f}",
                    f"{np.median(found.contexts):.0f}", f"{middle / 1e6:.1f}M ({most / 1e6:.1f}M)",
                    *(f"{middle / whole:.3f}" for whole in (plain, reused, shared)),
                )
                print("| " + " | ".join(values) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)
