"""`decide` on simulated pairs: how often it is wrong at any moment, and how many prompts it takes.

    python benchmarks/decide.py [pairs]      2,000 a line; numpy alone, one core, a minute

Two runs with a true loss, pairs that differ by chance beside it, and trials of a repeat that are alike (correlation of
the normal variables behind them). A repeat is one pair of a cell drawn at random, or 44 pairs, 11 of each of 4 lengths,
which are tested too. It is looked at after each repeat, up to 600: a verdict counts as false wherever in these it came.
Beside it the fixed design: repeats of 44 pairs that find a loss of the margin with 80% (`power`).
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from niah.stats import evidence, simulation
from niah.stats.decision import not_worse, worse
from niah.stats.power import Assumptions, repeats_for

ALPHA, MOST, CELLS, LENGTHS = 0.05, 600, 44, 4


def verdicts(
    rng: np.random.Generator, num: int, trials: int, loss: float, discordant: float, correlation: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """The repeat at which each was first called worse, and not worse; ``MOST`` for never. The first of the two is the
    verdict: a search ends with it."""
    first_worse, first_not = [], []
    for size in simulation.batches(num, MOST * trials):
        drawn = simulation.differences(
            rng, size, MOST, trials, lost=discordant / 2 + loss, gained=discordant / 2, correlation=correlation
        )
        shift = drawn.mean(-1)
        is_worse = worse(shift) >= evidence.needed(ALPHA / 2)
        if trials > 1:
            for own in drawn.reshape(size, MOST, LENGTHS, -1).mean(-1).transpose(2, 0, 1):
                is_worse |= worse(own) >= evidence.needed(ALPHA / 2 / LENGTHS)
        first_worse.append(first(is_worse))
        first_not.append(first(not_worse(shift, margin) >= evidence.needed(ALPHA)))
    return np.concatenate(first_worse), np.concatenate(first_not)


def first(reached: np.ndarray) -> np.ndarray:
    """Place of the first True of each line, ``MOST`` where there is none."""
    return np.where(reached.any(-1), reached.argmax(-1), MOST)


def main(num: int) -> None:
    print(f"{num} pairs of runs a line, looked at after each of {MOST} repeats, {ALPHA:.0%} promised\n")
    columns = (
        "true loss", "margin", "differ by chance", "correlation", "pairs a repeat", "false", "right", "open",
        "prompts, median (90%)", "fixed design's",
    )
    print("|" + "|".join(f" {one} " for one in columns) + "|\n|" + "---|" * len(columns))
    for margin, loss in ((0.02, 0.0), (0.02, 0.02), (0.05, 0.0), (0.05, 0.05), (0.05, 0.1), (0.05, 0.2)):
        for discordant, correlation in ((0.02, 0.0), (0.02, 0.3), (0.02, 0.6), (0.1, 0.3)):
            fixed = repeats_for(margin, CELLS, Assumptions(discordant, correlation), ALPHA, 0.8, 400, 640)
            for trials in (1, CELLS):
                rng = np.random.default_rng(7)
                down, up = verdicts(rng, num, trials, loss, discordant, correlation, margin)
                is_worse, is_not = (down < MOST) & (down <= up), (up < MOST) & (up < down)
                false = is_worse if loss == 0 else is_not if loss >= margin else np.zeros(num, bool)
                right = is_not if loss == 0 else is_worse
                used = 2 * trials * (np.minimum(np.minimum(down, up) + 1, MOST))
                middle, most = np.quantile(used, [0.5, 0.9])
                values = (
                    f"{loss:g}", f"{margin:g}", f"{discordant:g}", f"{correlation:g}", f"{trials}",
                    f"{false.mean():.4f}", f"{right.mean():.2f}", f"{(~is_worse & ~is_not).mean():.2f}",
                    f"{middle:,.0f} ({most:,.0f})", "more" if fixed is None else f"{2 * CELLS * fixed:,}",
                )
                print("| " + " | ".join(values) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)
