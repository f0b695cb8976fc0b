"""What the two verdicts of ``compare`` find at so many repeats, and how often they find what is not there.

    python benchmarks/power.py [runs]

Invented pairs of runs whose truth is known (``stats.margins``, ``stats.simulation``), judged by compare's own tests: by
accuracy, by the log-probability of the right answer, and by accuracy behind it (compare.primary=graded). Figures stand
in docs/statistics.md.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from scipy import stats

from niah.stats import power, signal, simulation
from niah.stats.margins import Margins

REPEATS = (6, 8, 12, 20)
LOSS = 0.1
SMOLLM2, STRONG = 0.63, 0.9
SCENARIOS = (
    (8, SMOLLM2, 0.06, 0.1), (8, SMOLLM2, 0.06, 0.3), (8, SMOLLM2, 0.06, 0.5), (8, STRONG, 0.02, 0.3),
    (8, STRONG, 0.06, 0.3), (8, STRONG, 0.1, 0.3), (8, STRONG, 0.1, 0.5), (44, SMOLLM2, 0.06, 0.3),
    (44, STRONG, 0.06, 0.3), (44, STRONG, 0.1, 0.3), (44, STRONG, 0.1, 0.5),
)
"""Trials a repeat, accuracy of the baseline, share of pairs that differ by chance, correlation of what is each run's
own within a repeat."""
NULL_REPEATS = (2, 3, 4, 5, 6, 8, 10, 12, 20, 30)
NULL_CORRELATIONS = (0.0, 0.3, 0.5, 0.8)
NULL_ACCURACIES = (0.5, 0.8, 0.9, 0.98)
NULL_TRIALS = (1, 8, 44)
Pairs = tuple[np.ndarray, np.ndarray]
"""Score differences and those of log-probabilities, both (runs, repeats, trials)."""


def main() -> None:
    runs, started = int(sys.argv[1]) if len(sys.argv) > 1 else 1000, time.time()
    print(f"a true loss of {100 * LOSS:g} points found, {runs:,} pairs of runs; accuracy / log-probability\n")
    heading("| trials a repeat | accuracy | differ by chance | correlation", REPEATS)
    for trials, accuracy, discordant, correlation in SCENARIOS:
        shown = []
        for repeats in REPEATS:
            pairs = drawn(Margins(accuracy, discordant, correlation), runs, repeats, trials, LOSS)
            shown.append(f"{found(score_p(pairs), pairs[0]):.2f} / {found(graded_p(pairs), pairs[1]):.2f}")
        print(f"| {trials} | {accuracy} | {discordant} | {correlation} | " + " | ".join(shown) + " |", flush=True)
    print("\nwhole repeats shifted by chance: accuracy / the normal variable behind it, if it could be read\n")
    heading("| trials a repeat | differ by chance | correlation", REPEATS)
    for trials, discordant, correlation in ((44, 0.02, 0.3), (44, 0.1, 0.3), (44, 0.1, 0.4), (44, 0.1, 0.5)):
        shown = [shifted(runs, repeats, trials, discordant, correlation) for repeats in REPEATS]
        print(f"| {trials} | {discordant} | {correlation} | " + " | ".join(shown) + " |", flush=True)
    print(f"\nfalse positives, 0.05 promised, {runs:,} pairs of runs; mean over scenarios (worst)\n")
    heading("| what is claimed | correlation", NULL_REPEATS)
    for correlation in NULL_CORRELATIONS:
        columns = [false_positives(runs, repeats, correlation) for repeats in NULL_REPEATS]
        for name in columns[0]:
            cells = [f"{np.mean(column[name]):.3f} ({max(column[name]):.3f})" for column in columns]
            print(f"| {name} | {correlation:g} | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{time.time() - started:.0f} s")


def heading(first: str, columns: tuple[int, ...]) -> None:
    print(first + " | " + " | ".join(f"{repeats} repeats" for repeats in columns) + " |")
    print("|---" * (first.count("|") + len(columns)) + "|")


def drawn(margins: Margins, runs: int, repeats: int, trials: int, loss: float) -> Pairs:
    rng = np.random.default_rng([repeats, trials, int(100 * margins.correlation), int(1000 * margins.discordant)])
    parts = [
        margins.pairs(rng, size, repeats, trials, loss) for size in simulation.batches(runs, 4 * repeats * trials)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def score_p(pairs: Pairs) -> np.ndarray:
    score = pairs[0]
    return power.p_values((score < 0).sum(-1), (score > 0).sum(-1), score.shape[-1])


def graded_p(pairs: Pairs) -> np.ndarray:
    return signal.p_values(pairs[1].mean(-1))


def found(p: np.ndarray, shift: np.ndarray) -> float:
    """Share of runs in which a loss is found."""
    return float(((p <= 0.05) & (shift.mean((1, 2)) < 0)).mean())


def shifted(runs: int, repeats: int, trials: int, discordant: float, correlation: float) -> str:
    """Where a repeat's pairs go the same way by chance (``simulation.differences``): what any measure could find."""
    lost, gained = discordant / 2 + LOSS, discordant / 2
    assumed = power.Assumptions(discordant, correlation)
    # one normal variable with two thresholds: the loss moves it by half the difference of their distances
    effect = (stats.norm.ppf(lost) + stats.norm.isf(gained)) / 2 / np.sqrt(correlation + (1 - correlation) / trials)
    seen = power.power(LOSS, repeats, trials, assumed, 0.05, runs)
    return f"{seen:.2f} / {power.graded_power(float(effect), repeats, 0.05, runs):.2f}"


def false_positives(runs: int, repeats: int, correlation: float) -> dict[str, list[float]]:
    """For every claim the share of each scenario: equal runs, and runs of equal accuracy where log-probabilities
    fell."""
    shares: dict[str, list[float]] = {}
    for trials in NULL_TRIALS:
        for accuracy in NULL_ACCURACIES:
            for part in (0.2, 0.8):
                margins = Margins(accuracy, part * 2 * accuracy * (1 - accuracy), correlation)
                pairs = drawn(margins, runs, repeats, trials, 0.0)
                by_score, by_grade = (p <= 0.05 for p in (score_p(pairs), graded_p(pairs)))
                fallen = graded_p((pairs[0], pairs[1] - 0.2 * pairs[1].std())) <= 0.05
                for name, wrong in (
                    ("accuracy", by_score), ("log-probability", by_grade),
                    ("either, both read as if they decided", by_grade | by_score),
                    ("accuracy behind a true fall, compare.primary=graded", fallen & by_score),
                ):
                    shares.setdefault(name, []).append(float(wrong.mean()))
    return shares


if __name__ == "__main__":
    main()
