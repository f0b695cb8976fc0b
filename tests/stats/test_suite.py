"""The mean of settings that count equally: its interval holds the truth, its paired test holds its level."""

import numpy as np
import pytest
from scipy import stats

from niah.stats import suite, suite_comparison
from niah.stats.clusters import wilson
from niah.stats.comparison import Answers, comparisons

NUM = 13
MIXED = np.linspace(0.1, 1, NUM).clip(0.02, 0.98)
ACCURACIES = {"mixed": MIXED, "high": np.full(NUM, 0.9), "half": np.full(NUM, 0.5)}


def shared(rng, shape, within: float, between: float) -> np.ndarray:
    """Standard normal values (runs, settings, repeats, trials) with these correlations of a repeat's trials."""
    runs, _, repeats, _ = shape
    own, all_settings = rng.standard_normal((*shape[:3], 1)), rng.standard_normal((runs, 1, repeats, 1))
    rest = rng.standard_normal(shape)
    return np.sqrt(between) * all_settings + np.sqrt(within) * own + np.sqrt(1 - within - between) * rest


def strata(sums: np.ndarray, trials: int) -> suite.Strata:
    return suite.Strata(sums, np.full(sums.shape, float(trials)), np.full(NUM, 1 / NUM), np.arange(NUM))


@pytest.mark.parametrize(("within", "between"), [(0.0, 0.0), (0.5, 0.0), (0.5, 0.1)])
@pytest.mark.parametrize("repeats", [2, 3, 6, 20])
def test_coverage(repeats, within, between):
    for name, accuracy in ACCURACIES.items():
        rng = np.random.default_rng([repeats, int(10 * within), int(10 * between)])
        for trials in (1, 5):
            drawn = shared(rng, (1000, NUM, repeats, trials), within, between) < stats.norm.ppf(accuracy)[:, None, None]
            low, high = suite.wilson(strata(drawn.sum(-1).astype(float), trials), 0.95)
            held = ((low <= accuracy.mean()) & (accuracy.mean() <= high)).mean()
            assert held >= 0.93 - 0.02, (name, repeats, trials, within, between, held)


def test_settings_are_strata():
    # each setting all right or all wrong: nothing varies but what the assumed correlation says
    sums = np.concatenate([np.full((9, 10), 3.0), np.zeros((4, 10))])
    low, high = suite.wilson(strata(sums, 3), 0.95)
    pooled_low, pooled_high = wilson(sums.sum(0), np.full(10, 39.0), sums.sum(), 0.95)
    assert low < 9 / 13 < high and high - low < 0.5 * (pooled_high - pooled_low)


def test_one_setting_of_independent_trials_is_wilsons():
    sums = np.array([1.0] * 30 + [0.0] * 10)
    one = suite.Strata(sums[None], np.ones((1, 40)), np.ones(1), np.zeros(1, int))
    low, high = suite.wilson(one, 0.95)
    plain = wilson(sums, np.ones(40), sums.sum(), 0.95)
    assert plain[0] - 0.02 < low <= plain[0] + 1e-9 and plain[1] - 1e-9 <= high < plain[1] + 0.02


def test_all_right_is_no_point_and_few_trials_are_wide():
    widths = []
    for repeats in (1, 2, 10):
        low, high = suite.wilson(strata(np.full((NUM, repeats), 3.0), 3), 0.95)
        assert high == pytest.approx(1) and low < 0.99
        widths.append(1 - low)
    assert widths == sorted(widths, reverse=True)


def test_a_setting_with_fewer_repeats_counts_the_same():
    sums, sizes = np.full((2, 6), 3.0), np.full((2, 6), 3.0)
    sums[1], sizes[1] = [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]
    two = suite.Strata(sums, sizes, np.full(2, 0.5), np.arange(2))
    assert two.mean == pytest.approx(0.75)
    low, high = suite.wilson(two, 0.95)
    assert 0 <= low < 0.6 and 0.9 < high <= 1


def answers(scores: np.ndarray, length: int = 4096) -> list[Answers]:
    """One setting each of scores (settings, repeats, trials)."""
    repeat, depth = np.meshgrid(*map(np.arange, scores.shape[1:]), indexing="ij")
    size = repeat.size
    return [
        Answers(np.full(size, length), depth.ravel().astype(float), repeat.ravel(), one.ravel().astype(float),
                np.full(size, np.nan))
        for one in scores
    ]


@pytest.mark.parametrize("repeats", [3, 6, 10])
def test_the_paired_test_holds_its_level_whatever_settings_share(repeats):
    rng, found = np.random.default_rng(repeats), 0
    runs, half = 200, np.full(NUM, 0.7)
    for between in (0.0, 0.3):
        # two runs of one model whose differences go together within a repeat, in every setting
        drawn = shared(rng, (runs, NUM, repeats, 2), 0.3, between)
        shift = (drawn > stats.norm.isf(0.08)).astype(float) - (drawn < stats.norm.ppf(0.08))
        base = np.where(shift > 0, 0.0, np.where(shift < 0, 1.0, half[:, None, None]))
        for a, d in zip(base, shift, strict=True):
            sides = list(zip(answers(a), answers(a + d), strict=True))
            one = suite_comparison.pooled(sides, (), 0.95)
            found += one.p <= 0.05
            assert (one.p <= 0.05) == (not one.low <= 0 <= one.high)
    assert found / (2 * runs) <= 0.05 + 0.022


def test_a_loss_of_the_mean_is_found_with_its_interval():
    rng = np.random.default_rng(1)
    a = np.ones((NUM, 8, 3))
    b = (rng.random(a.shape) >= np.linspace(0, 0.4, NUM)[:, None, None]).astype(float)
    sides = list(zip(answers(a), answers(b), strict=True))
    one = suite_comparison.compared(sides, 0.95).overall
    assert one.difference == pytest.approx(b.mean() - 1) and one.other == pytest.approx(b.mean())
    assert one.p == pytest.approx(2 / 2**8) and one.decided_by == "sign flips by repeat"
    assert one.low < one.difference < one.high < 0 and one.high - one.low < 0.25
    assert one.num_pairs == NUM * 24 and one.num_repeats == 8


def test_settings_count_equally_whatever_their_numbers_of_pairs():
    one, many = answers(np.ones((1, 6, 1))), answers(np.ones((1, 6, 9)))
    lost = answers(np.zeros((1, 6, 1)))
    found = suite_comparison.compared([(one[0], lost[0]), (many[0], many[0])], 0.95)
    assert found.overall.difference == pytest.approx(-0.5) and found.lengths[0].difference == pytest.approx(-0.5)


def test_equal_numbers_make_it_the_pooled_difference():
    rng = np.random.default_rng(3)
    a, b = (rng.random((NUM, 7, 3)) < 0.6 for _ in range(2))
    sides = list(zip(answers(a), answers(b), strict=True))
    joined = [Answers(*(np.concatenate([getattr(side[k], name) for side in sides]) for name in Answers.__annotations__))
              for k in (0, 1)]
    pooled = comparisons([(*joined, True)], 0.95)[0].overall
    ours = suite_comparison.compared(sides, 0.95).overall
    assert (ours.difference, ours.p) == (pytest.approx(pooled.difference), pytest.approx(pooled.p))
    assert (ours.num_lost, ours.num_gained) == (pooled.num_lost, pooled.num_gained)


def test_one_repeat_has_no_verdict():
    a = np.ones((NUM, 1, 3))
    found = suite_comparison.compared(list(zip(answers(a), answers(0 * a), strict=True)), 0.95)
    assert np.isnan(found.overall.p) and found.overall.high >= 0 and found.overall.decided_by == "no test"


@pytest.mark.parametrize("repeats", [6, 10])
def test_what_could_have_been_found_is_found_in_80_percent(repeats):
    rng, loss, found = np.random.default_rng(7), 0.0, 0
    equal = shared(rng, (1, NUM, repeats, 3), 0.3, 0.0)[0]
    shift = (equal > stats.norm.isf(0.04)).astype(float) - (equal < stats.norm.ppf(0.04))
    base = np.where(shift > 0, 0.0, 1.0)
    sides = list(zip(answers(base), answers(base + shift), strict=True))
    loss = suite_comparison.resolution(sides, suite_comparison.pooled(sides, (), 0.95), 0.95).loss
    assert 0.02 < loss < 0.3
    drawn = shared(rng, (300, NUM, repeats, 3), 0.3, 0.0)
    other = (drawn > stats.norm.isf(0.04)).astype(float) - (drawn < stats.norm.ppf(0.04 + loss))
    for d in other:
        start = np.where(d > 0, 0.0, 1.0)
        pairs = list(zip(answers(start), answers(start + d), strict=True))
        found += suite_comparison.pooled(pairs, (), 0.95).p <= 0.05
    assert 0.7 <= found / 300 <= 0.99, (loss, found / 300)
