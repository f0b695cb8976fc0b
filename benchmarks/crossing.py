"""Coverage of the intervals of crossing lengths (niah/stats/crossing.py) in invented runs; takes minutes.

    python benchmarks/crossing.py [runs]

4 lengths, 3 depths, seeded. Each figure is the mean over scenarios and, in brackets, the worst; 0.95 promised.
Width is in lengths.
"""

import sys

import numpy as np

from niah.stats import matched_pairs, simulation
from niah.stats.crossing import bootstrap, first_passing, from_intervals

SCENARIOS = [
    ([0.98, 0.95, 0.8, 0.5], 0.9), ([0.98] * 4, 0.97), ([0.9] * 4, 0.85), ([0.95, 0.9, 0.85, 0.8], 0.86),
    ([0.98, 0.98, 0.9, 0.6], 0.98),
]
"""(accuracy at each length of the first side, accuracy of the other at all of them)."""
DEPTHS, MARGIN = 3, 0.02
CORRELATIONS = (0.0, 0.3, 0.6)


def covered(full: list[float], other: float, repeats: int, correlation: float, limit: float, runs: int) -> np.ndarray:
    """Coverage and width of the bootstrap, then of the lengths' own intervals."""
    rng = np.random.default_rng(0)
    accuracies = np.repeat(np.array([full, [other] * len(full)]).T[:, :, None], DEPTHS, axis=2)
    drawn = simulation.answers(rng, runs, repeats, accuracies.ravel(), correlation)
    right = drawn.reshape(runs, repeats, *accuracies.shape).astype(float)
    shift = right[..., 1, :] - right[..., 0, :]
    sums = shift.sum(-1).transpose(0, 2, 1)
    gained, lost = np.maximum(shift, 0).sum((1, 3)), np.maximum(-shift, 0).sum((1, 3))
    ends = matched_pairs.interval(
        sums, np.full(sums.shape, float(DEPTHS)), gained, lost, (shift**2).sum((1, 3)),
        (shift != 0).any(-1).sum(1), 0.95,
    )
    true = first_passing(other - np.array(full) >= limit)
    resampled = np.array([bootstrap(one, np.full(one.shape, float(DEPTHS)), limit, 0.95) for one in sums]).T
    return np.array([
        [((low <= true) & (true <= high)).mean(), (high - low).mean()]
        for low, high in (resampled, from_intervals(*ends, limit))
    ])


def main(runs: int) -> None:
    print("| | repeats | bootstrap | width | lengths' own | width |\n|---|---|---|---|---|---|")
    for condition, limit in (("better", 1e-9), ("not worse", 1e-9 - MARGIN)):
        for repeats in (6, 10, 30, 100):
            found = np.array([
                covered(full, other, repeats, correlation, limit, runs)
                for full, other in SCENARIOS for correlation in CORRELATIONS
            ])
            shown = [
                f"{coverage.mean():.3f} ({coverage.min():.3f}) | {width.mean():.1f}"
                for coverage, width in found.transpose(1, 2, 0)
            ]
            print(f"| {condition} | {repeats} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
