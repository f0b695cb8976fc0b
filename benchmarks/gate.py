"""How often a gate's bound on accuracy is met, or has failed, where the truth lies exactly at the bound.

Answers of a repeat are correlated as ``power`` assumes (normal variables behind them). Prints the largest shares over
accuracies, correlations, trials a repeat and repeats, and the medians. A few seconds of one core.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import ndtri

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from niah.stats import clusters

RUNS, CONFIDENCE = 4000, 0.95


def shares(accuracy: float, correlation: float, trials: int, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """(2,): met, failed."""
    common, own = rng.standard_normal((RUNS, repeats, 1)), rng.standard_normal((RUNS, repeats, trials))
    is_right = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own < ndtri(accuracy)
    right = is_right.sum(-1).astype(float)
    low, high = clusters.wilson(right, np.full(right.shape, float(trials)), right.sum(-1), CONFIDENCE)
    return np.array([(low >= accuracy).mean(), (high < accuracy).mean()])


def main() -> None:
    rng = np.random.default_rng(1)
    cases = list(product((0.75, 0.9, 0.95), (0.0, 0.3, 0.6), (1, 3, 11), (6, 12, 24, 40, 80)))
    found = np.array([shares(*case, rng) for case in cases])
    for name, column in zip(("met", "failed"), found.T, strict=True):
        most = int(column.argmax())
        several = np.array([case[2] > 1 for case in cases])
        where = f"accuracy, correlation, trials, repeats: {cases[most]}"
        print(f"{name} at the bound: at most {column[most]:.3f} ({where}), "
              f"with several trials a repeat {column[several].max():.3f}, median {np.median(column):.4f}")


if __name__ == "__main__":
    main()
