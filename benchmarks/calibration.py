"""Do intervals hold their coverage and tests their level? Simulated grids whose truth is known.

    python benchmarks/calibration.py [grids]
    python benchmarks/calibration.py unpaired [grids]    false positives of unpaired runs alone, by 1 to 30 repeats

4 lengths x 11 depths; correlation is that of the answers (or differences) of a repeat, not of the normal variables
behind them. Prints, for every number of repeats and correlation, the mean over scenarios and the worst one.
docs/statistics.md says for how many grids it holds the output.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from math import comb
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from niah.stats import clusters, effective_length, matched_pairs, signal, simulation, two_samples
from niah.stats.comparison import MIN_REPEATS
from niah.stats.power import latent_correlation, p_values
from niah.stats.significance import following

LENGTHS = 2 ** np.arange(13, 17)
DEPTHS = 11
REPEATS = (2, 3, 5, 6, 10, 15, 20, 30, 100)
CORRELATIONS = (0.0, 0.1, 0.3, 0.5)
ACCURACIES = (0.5, 0.8, 0.9, 0.98)
CURVES = ((0.99, 0.97, 0.88, 0.4), (0.99, 0.99, 0.3, 0.1), (0.92, 0.89, 0.87, 0.83), (0.97,) * 4)
DIFFERENCES = ((0.02, 0.0), (0.02, -0.02), (0.1, 0.0), (0.1, -0.05), (0.1, -0.1), (0.3, -0.1))
"""(share of discordant pairs, true difference)."""
MARGIN = 0.05
Found = Iterator[tuple[str, str, float]]
"""What, in which scenario, the share of grids."""
Table = dict[str, dict[tuple[int, float], list[float]]]
"""For each name and each (repeats, correlation) the share of every scenario."""


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "unpaired"]
    runs, started = int(words[0]) if words else 10_000, time.time()
    if "unpaired" in sys.argv:
        return unpaired(runs)
    for title, measured in (("coverage, 0.95 promised", coverage), ("false positives, 0.05 promised", false_positives)):
        print(f"\n{title}; {runs:,} grids; mean over scenarios (worst)\n")
        table: Table = {}
        for repeats in REPEATS:
            for correlation in CORRELATIONS:
                for name, _, value in measured(runs, repeats, correlation):
                    table.setdefault(name, {}).setdefault((repeats, correlation), []).append(value)
        show(table, worst=min if measured is coverage else max)
    print(f"\n{time.time() - started:.0f} s")


def show(table: Table, worst: Callable[[list[float]], float]) -> None:
    print("| | correlation | " + " | ".join(f"{repeats} repeats" for repeats in REPEATS) + " |")
    print("|---|---|" + "---|" * len(REPEATS))
    for name, cells in table.items():
        for correlation in CORRELATIONS:
            values = [cells.get((repeats, correlation)) for repeats in REPEATS]
            shown = [f"{np.mean(v):.3f} ({worst(v):.3f})" if v else "-" for v in values]
            print(f"| {name} | {correlation:g} | " + " | ".join(shown) + " |")


def unpaired(runs: int) -> None:
    """Equal runs that ``compare`` calls different, by repeats: mean over accuracies and the worst."""
    columns = (*CORRELATIONS, 0.8)
    print(f"unpaired false positives, 0.05 promised; {runs:,} pairs of runs\n")
    print("| repeats | " + " | ".join(f"correlation {one:g}" for one in columns) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for repeats in range(1, 31):
        shown = []
        for correlation in columns:
            shares = [false_positive_share(runs, repeats, correlation, accuracy) for accuracy in ACCURACIES]
            shown.append("-" if np.isnan(shares).any() else f"{np.mean(shares):.3f} ({max(shares):.3f})")
        print(f"| {repeats} | " + " | ".join(shown) + " |", flush=True)


def false_positive_share(runs: int, repeats: int, correlation: float, accuracy: float) -> float:
    """NaN where there is no test."""
    if repeats < two_samples.MIN_REPEATS:
        return float("nan")
    rng = np.random.default_rng([2, repeats, int(100 * correlation), int(100 * accuracy)])
    right = [answers(rng, runs, repeats, np.full(DEPTHS, accuracy), correlation).mean(-1) for _ in range(2)]
    return share(exchanged(*right) <= 0.05)


def coverage(runs: int, repeats: int, correlation: float, seed: int = 0) -> Found:
    """Share of grids whose interval holds the truth."""
    rng = np.random.default_rng([seed, repeats, int(100 * correlation)])
    for truth, kind in ((truth, kind) for truth in ACCURACIES for kind in ("copula", "beta-binomial", "depth cliff")):
        name = f"accuracy {truth}, {kind}"
        if kind == "copula":
            right = answers(rng, runs, repeats, np.full(DEPTHS, truth), correlation)
            cell, one, sums = right[..., 0], np.ones(right.shape[:2]), right.sum(-1).astype(float)
            yield "a cell: Wilson", name, holds(clusters.wilson(cell, one, cell.sum(-1), 0.95), truth)
        elif kind == "beta-binomial" and correlation:
            sums = beta_binomial(rng, (runs, repeats), truth, correlation)
        elif kind == "depth cliff" and not correlation:  # a correlation of its own, in one column
            sums = cliffs(rng, (runs, repeats), truth)
        else:
            continue
        sizes, squares = np.full(sums.shape, float(DEPTHS)), sums.sum(-1)
        yield "a length: Wilson, effective trials", name, holds(clusters.wilson(sums, sizes, squares, 0.95), truth)
        yield "a length: cluster bootstrap", name, holds(clusters.bootstrap(sums, sizes, 0.95, 400), truth)
        pooled = (squares[:, None], sizes.sum(-1, keepdims=True))
        yield "a length: Wilson, trials as independent", name, holds(clusters.wilson(*pooled, squares, 0.95), truth)
    for discordant, truth in DIFFERENCES:
        lost, gained = counts(rng, runs, repeats, DEPTHS, discordant, truth, correlation)
        name = f"{discordant} discordant, difference {truth}"
        size = np.full(lost.shape, float(DEPTHS))
        totals = gained.sum(-1), lost.sum(-1), np.full(runs, float(DEPTHS * repeats))
        yield "difference: Tango, effective trials", name, holds(interval(lost, gained, DEPTHS), truth)
        if correlation:
            drawn = dirichlet(rng, (runs, repeats), discordant, truth, correlation)
            yield "difference: Tango, effective trials", f"{name}, beta", holds(interval(*drawn, DEPTHS), truth)
        yield "difference: cluster bootstrap", name, holds(clusters.bootstrap(gained - lost, size, 0.95, 400), truth)
        yield "difference: Tango, pairs as independent", name, holds(matched_pairs.tango(*totals, 0.95), truth)
    for skewed in (False, True):
        shift = shifts(rng, runs, repeats, DEPTHS, correlation, skewed)
        size = np.full(shift.shape[:2], float(DEPTHS))
        name = "skewed" if skewed else "normal"
        yield "log-probability: t by repeat", name, holds(clusters.student(shift.sum(-1), size, 0.95), 0.0)
        yield "log-probability: cluster bootstrap", name, holds(clusters.bootstrap(shift.sum(-1), size, 0.95, 400), 0.0)
    for curve in CURVES:
        yield from _curve(rng, runs, repeats, np.array(curve), correlation)
    for base, other in ((0.9, 0.9), (0.9, 0.8), (0.98, 0.95)):
        sides = [answers(rng, runs, repeats, np.full(DEPTHS, p), correlation).sum(-1) for p in (base, other)]
        size = np.full(sides[0].shape, float(DEPTHS))
        ends = [clusters.wilson(side, size, side.sum(-1), 0.95) for side in sides]
        means = [side.sum(-1) / size.sum(-1) for side in sides]
        found = two_samples.mover(means[0], ends[0], means[1], ends[1])
        yield "unpaired difference: square and add", f"{base} {other}", holds(found, other - base)


def _curve(rng: np.random.Generator, runs: int, repeats: int, curve: np.ndarray, correlation: float) -> Found:
    right = answers(rng, runs, repeats, np.repeat(curve, DEPTHS), correlation)
    sums = right.reshape(runs, repeats, len(LENGTHS), DEPTHS).sum(-1).transpose(0, 2, 1).astype(float)
    sizes, squares, name = np.full(sums.shape, float(DEPTHS)), sums.sum(-1), str(curve.tolist())
    short = effective_length.base_lengths(LENGTHS)
    passes = curve >= effective_length.RULER, (curve >= effective_length.NOLIMA * curve[0]) | short
    ruler, nolima = (effective_length.leading(passing) for passing in passes)
    _, low, high = effective_length.thresholds(sums, sizes, squares, effective_length.RULER, 0.95)
    _, (_, nolima_low, nolima_high) = effective_length.nolima(sums, sizes, squares, LENGTHS, 0.95)
    if repeats >= effective_length.MIN_BOOTSTRAP:
        some = slice(0, min(runs, 1000))
        low, high = effective_length.bootstrap(sums[some], sizes[some], effective_length.RULER, LENGTHS, 0.95, 300)
        nolima_low, nolima_high = effective_length.bootstrap(sums[some], sizes[some], None, LENGTHS, 0.95, 300)
    yield "effective length: RULER", name, holds((low, high), ruler)
    yield "effective length: NoLiMa", name, holds((nolima_low, nolima_high), nolima)
    _, low, high = effective_length.area(sums, sizes, LENGTHS, 0.95)
    truth = np.trapezoid(curve, np.arange(len(curve))) / (len(curve) - 1)
    yield "area under the curve", name, holds((low, high), truth)


def false_positives(runs: int, repeats: int, correlation: float, seed: int = 1) -> Found:
    """Share of grids in which a test finds what is not there."""
    rng = np.random.default_rng([seed, repeats, int(100 * correlation)])
    num_lengths = len(LENGTHS)
    for discordant in (0.02, 0.1, 0.3):
        shift = differences(rng, runs, repeats, discordant, correlation)
        lost, gained = (shift < 0).sum(-1), (shift > 0).sum(-1)
        name = f"{discordant} discordant"
        worse, better = lost.sum(1), gained.sum(1)  # (runs, lengths, repeats) to (runs, repeats)
        p = p_values(worse, better, num_lengths * DEPTHS)
        exact = matched_pairs.mcnemar_p(worse.sum(-1), better.sum(-1))
        lengths = np.stack([p_values(lost[:, k], gained[:, k], DEPTHS) for k in range(num_lengths)], -1)
        cells = matched_pairs.mcnemar_p((shift < 0).sum(2), (shift > 0).sum(2)).reshape(runs, -1)
        test = "sign flips by repeat" if repeats >= MIN_REPEATS else "McNemar, effective trials (2 to 5 repeats)"
        yield f"overall: {test}, decides", name, share(p <= 0.05)
        yield f"any length, Holm: {test}, decides", name, share(lengths.min(-1) <= 0.05 / num_lengths)
        yield "overall: McNemar, pairs as independent", name, share(exact <= 0.05)
        yield "any cell, Holm: McNemar, decides", name, share(cells.min(-1) <= 0.05 / cells.shape[-1])
        is_worse = worse.sum(-1) > better.sum(-1)
        hit = (lengths <= 0.05 / num_lengths) & (lost.sum(-1) > gained.sum(-1))
        yield "compare.fail_on=worse, exit code 2", name, share(((p <= 0.05) & is_worse) | hit.any(-1))
    for discordant in (0.06, 0.2):
        lost, gained = counts(rng, runs, repeats, DEPTHS, discordant, -MARGIN, correlation)
        low, _ = interval(lost, gained, DEPTHS)
        name = "non-inferior at a length, true loss = margin (0.025 promised)"
        yield name, f"{discordant}", share(low > -MARGIN)
    for skewed in (False, True):
        means = shifts(rng, runs, repeats, DEPTHS, correlation, skewed).mean(-1)
        test = signal.FLIPS if repeats >= signal.MIN_REPEATS else f"{signal.STUDENT} (2 to 5 repeats)"
        name = f"log-probability: {test}, decides{'; mean 0, but skewed' if skewed else ''}"
        yield name, "", share(signal.p_values(means) <= 0.05)
    if repeats >= two_samples.MIN_REPEATS:
        sides = [answers(rng, runs, repeats, np.full(DEPTHS, 0.9), correlation).mean(-1) for _ in range(2)]
        yield "unpaired: repeats exchanged, decides", "", share(exchanged(*sides) <= 0.05)


def exchanged(a: np.ndarray, b: np.ndarray, draws: int = 1999) -> np.ndarray:
    """Two-sided p of the difference of means as ``two_samples.exchanged`` has it, for many runs (runs, repeats): all
    ways to deal the repeats anew where there are few, else the same drawn ones for every run."""
    repeats = a.shape[-1]
    if comb(2 * repeats, repeats) <= 5000:
        picked = np.array([np.isin(np.arange(2 * repeats), one) for one in combinations(range(2 * repeats), repeats)])
        added = 0
    else:
        own = np.tile(np.arange(2 * repeats) < repeats, (draws, 1))
        picked, added = np.random.default_rng(0).permuted(own, axis=1), 1
    values = np.concatenate([a, b], axis=-1)
    distances = np.abs(values @ (2.0 * picked.T - 1))
    reached = distances >= np.abs(a.sum(-1) - b.sum(-1))[:, None] - 1e-9
    return np.asarray((reached.sum(-1) + added) / (len(picked) + added))


def interval(lost: np.ndarray, gained: np.ndarray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the difference for counts (runs, repeats), as printed: it follows the test."""
    totals = gained.sum(-1), lost.sum(-1)
    sizes, num_discordant = np.full(lost.shape, float(trials)), (lost + gained > 0).sum(-1)
    shift = (gained - lost).astype(float)
    ends = matched_pairs.interval(shift, sizes, *totals, totals[0] + totals[1], num_discordant, 0.95)
    return following(*ends, totals[0] - totals[1], p_values(lost, gained, trials), 0.95)


@cache
def latent(lost: float, gained: float, correlation: float) -> float:
    """The correlation of the copula's normal variables that gives results -1, 0 and 1 this correlation."""
    return latent_correlation(lost, gained, correlation) if correlation else 0.0


def beta_binomial(rng: np.random.Generator, shape: tuple[int, int], accuracy: float, correlation: float) -> np.ndarray:
    """Right answers of each repeat, whose own accuracy is drawn from a beta distribution."""
    size = (1 - correlation) / correlation
    return rng.binomial(DEPTHS, rng.beta(accuracy * size, (1 - accuracy) * size, shape)).astype(float)


def cliffs(rng: np.random.Generator, shape: tuple[int, int], accuracy: float) -> np.ndarray:
    """Right answers of each repeat: some lose every depth up to one that is drawn, the others none."""
    lost = rng.integers(1, DEPTHS + 1, shape)
    is_hit = rng.random(shape) < (1 - accuracy) * 2 * DEPTHS / (DEPTHS + 1)
    return np.where(is_hit, DEPTHS - lost, DEPTHS).astype(float)


def dirichlet(
    rng: np.random.Generator, shape: tuple[int, int], discordant: float, truth: float, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lost and gained pairs of each repeat, whose own chances of both are drawn."""
    lost, gained = (discordant - truth) / 2, (discordant + truth) / 2
    size = (1 - correlation) / correlation
    chances = rng.dirichlet(np.maximum(np.array([lost, gained, 1 - discordant]) * size, 1e-6), shape)
    worse = rng.binomial(DEPTHS, np.clip(chances[..., 0], 0, 1))
    rest = np.clip(chances[..., 1] / np.maximum(1 - chances[..., 0], 1e-12), 0, 1)
    return worse, rng.binomial(DEPTHS - worse, rest)


def answers(
    rng: np.random.Generator, runs: int, repeats: int, accuracies: np.ndarray, correlation: float
) -> np.ndarray:
    """Right answers, (runs, repeats, trials), drawn in batches that fit memory; the correlation is that of answers of
    the mean accuracy."""
    sizes = simulation.batches(runs, repeats * len(accuracies))
    within = latent(1 - float(accuracies.mean()), 0.0, correlation)
    return np.concatenate([simulation.answers(rng, size, repeats, accuracies, within) for size in sizes])


def counts(
    rng: np.random.Generator, runs: int, repeats: int, trials: int, discordant: float, truth: float, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    lost, gained = (discordant - truth) / 2, max((discordant + truth) / 2, 1e-12)
    within = latent(lost, gained, correlation)
    return simulation.counts(rng, runs, repeats, trials, lost=lost, gained=gained, correlation=within)


def differences(
    rng: np.random.Generator, runs: int, repeats: int, discordant: float, correlation: float
) -> np.ndarray:
    """Score differences without a true one, int8 (runs, lengths, repeats, depths)."""
    num_trials, half = len(LENGTHS) * DEPTHS, discordant / 2
    within = latent(half, half, correlation)
    drawn = [
        simulation.differences(rng, size, repeats, num_trials, lost=half, gained=half, correlation=within)
        for size in simulation.batches(runs, repeats * num_trials)
    ]
    together: np.ndarray = np.concatenate(drawn).reshape(runs, repeats, len(LENGTHS), DEPTHS).transpose(0, 2, 1, 3)
    return together


def shifts(
    rng: np.random.Generator, runs: int, repeats: int, trials: int, correlation: float, skewed: bool
) -> np.ndarray:
    """Differences in log-probability of mean 0, (runs, repeats, trials); skewed: 1 - exponential, few large losses."""
    parts = []
    for size in simulation.batches(runs, repeats * trials):
        shared, own = rng.standard_normal((size, repeats, 1)), rng.standard_normal((size, repeats, trials))
        if skewed:
            shared, own = 1 - rng.exponential(size=shared.shape), 1 - rng.exponential(size=own.shape)
        parts.append(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
    return np.concatenate(parts)


def holds(ends: tuple[np.ndarray, np.ndarray], truth: float | np.ndarray) -> float:
    """Share of intervals (low ends, high ends) that hold the truth, one of all or one of each."""
    return share((ends[0] <= truth + 1e-9) & (ends[1] >= truth - 1e-9))


def share(hits: np.ndarray) -> float:
    return float(np.mean(hits))


if __name__ == "__main__":
    main()
