"""Does the mean of 13 settings keep what its interval and its paired test promise? Simulated sweeps of known truth.

    python benchmarks/suite.py [sweeps]

One length; 3 trials of a setting and repeat (1 of two settings, as cwe and fwe). ``within`` is the correlation of the
normal variables behind the trials of a setting and repeat, ``between`` the part of it that all settings of a repeat
share. docs/statistics.md holds its output.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from scipy import stats

from niah.stats import signflip, suite

TRIALS = np.array([3] * 11 + [1] * 2)
REPEATS = (1, 2, 3, 5, 6, 10, 20, 50)
LIKENESS = ((0.0, 0.0), (0.3, 0.0), (0.5, 0.1), (0.6, 0.2))
ACCURACIES = {
    "0.1 to 0.99": np.linspace(0.1, 0.99, len(TRIALS)), "all 0.9": np.full(len(TRIALS), 0.9),
    "all 0.98": np.full(len(TRIALS), 0.98), "all 0.5": np.full(len(TRIALS), 0.5),
    "10 of 0.999": np.r_[np.full(10, 0.999), 0.3, 0.5, 0.7],
}


def shared(rng: np.random.Generator, runs: int, repeats: int, within: float, between: float) -> np.ndarray:
    """The part of the normal variables that the trials of a setting and repeat share, (runs, settings, repeats)."""
    every = np.sqrt(between) * rng.standard_normal((runs, 1, repeats))
    return every + np.sqrt(within - between) * rng.standard_normal((runs, len(TRIALS), repeats))


def coverage(runs: int, repeats: int, within: float, between: float) -> tuple[list[float], list[float]]:
    """Share of sweeps whose interval holds the truth, and its mean width in points, of each scenario."""
    held, widths = [], []
    for accuracy in ACCURACIES.values():
        rng = np.random.default_rng([repeats, int(100 * within)])
        own = shared(rng, runs, repeats, within, between)
        chance = stats.norm.cdf((stats.norm.ppf(accuracy)[:, None] - own) / np.sqrt(1 - within))
        sums = rng.binomial(TRIALS[:, None], chance).astype(float)
        sizes = np.broadcast_to(TRIALS[:, None].astype(float), sums.shape)
        weights = np.full(len(TRIALS), 1 / len(TRIALS))
        low, high = suite.wilson(suite.Strata(sums, sizes, weights, np.arange(len(TRIALS))), 0.95)
        truth = accuracy.mean()
        held.append(float(((low <= truth + 1e-12) & (truth <= high + 1e-12)).mean()))
        widths.append(100 * float((high - low).mean()))
    return held, widths


def false_positives(runs: int, repeats: int, within: float, between: float) -> float:
    """Share of pairs of equal sweeps that sign flips by repeat call different; 10% of pairs differ by chance."""
    rng = np.random.default_rng([1, repeats, int(100 * within)])
    own, rest = shared(rng, runs, repeats, within, between), np.sqrt(1 - within)
    worse, better = (stats.norm.cdf((stats.norm.ppf(0.05) - side) / rest) for side in (own, -own))
    lost = rng.binomial(TRIALS[:, None], worse)
    gained = rng.binomial(TRIALS[:, None] - lost, better / (1 - worse))
    return float((signflip.p_values(((gained - lost) / TRIALS[:, None]).sum(1)) <= 0.05).mean())


def main() -> None:
    runs, started = int(sys.argv[1]) if len(sys.argv) > 1 else 4000, time.time()
    head = " | ".join(f"{repeats} repeats" for repeats in REPEATS)
    print(f"{runs:,} sweeps; coverage, 0.95 promised: mean over scenarios (worst); mean width in points\n")
    print(f"| within, between | {head} |\n|---|{'---|' * len(REPEATS)}")
    for within, between in LIKENESS:
        cells = []
        for repeats in REPEATS:
            held, widths = coverage(runs, repeats, within, between)
            cells.append(f"{np.mean(held):.3f} ({min(held):.3f}); {np.mean(widths):.0f}")
        print(f"| {within:g}, {between:g} | {' | '.join(cells)} |", flush=True)
    print(f"\nfalse positives of the paired test, 0.05 promised\n\n| within, between | {head} |")
    print(f"|---|{'---|' * len(REPEATS)}")
    for within, between in LIKENESS:
        rates = [false_positives(runs, repeats, within, between) if repeats >= 6 else None for repeats in REPEATS]
        cells = ["-" if rate is None else f"{rate:.3f}" for rate in rates]
        print(f"| {within:g}, {between:g} | {' | '.join(cells)} |", flush=True)
    print(f"\n{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
