"""Intervals and tests against published figures and libraries."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from niah.stats import clusters, matched_pairs, signflip, simulation, two_samples
from niah.stats.significance import holm


def test_tango_is_the_published_interval():
    # Fagerland, Lydersen and Laake (2014), Statistics in Medicine 33, airway hyper-responsiveness: 1 and 7 of 21
    low, high = matched_pairs.tango(1, 7, 21, 0.95)
    assert (round(float(low), 3), round(float(high), 3)) == (-0.517, -0.026)


def test_no_discordant_pair_is_no_point():
    low, high = matched_pairs.tango(0, 0, 100, 0.95)
    limit = stats.norm.ppf(0.975) ** 2
    assert float(high) == pytest.approx(limit / (100 + limit), abs=1e-9) and float(low) == -float(high)


def test_mcnemar_is_statsmodels_and_a_binomial_test():
    lost, gained = np.array([0, 7, 150, 3]), np.array([0, 1, 86, 3])
    ours = matched_pairs.mcnemar_p(lost, gained)
    for one, b, c in zip(ours, lost.tolist(), gained.tolist(), strict=True):
        theirs = mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1
        assert one == pytest.approx(theirs, abs=1e-12)
        if b + c:
            assert stats.binomtest(b, b + c).pvalue == pytest.approx(one, abs=1e-12)
    assert matched_pairs.mcnemar_p(1, 7) == pytest.approx(0.0703, abs=5e-5)  # Fagerland et al. (2013), the same data


@pytest.mark.parametrize("sums", [
    [1, 2, 3, -1, 2], [0.5, 0.25, 1, 1, 1, -2], [1] * 6, [1 / 3, 2 / 3, 1, 1], [4, -4], [0.1234567, 1.0, -2.0, 3.0],
])
def test_sign_flips_are_scipys_permutation_test(sums):
    sums = np.array(sums, float)
    full = stats.permutation_test(
        (sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert signflip.p_value(sums) == pytest.approx(full, abs=1e-12)
    assert signflip.p_values(sums[None])[0] == pytest.approx(full, abs=1e-12)


def test_holm_is_statsmodels():
    p = np.random.default_rng(0).random(40) ** 3
    assert np.allclose(holm(p), multipletests(p, method="holm")[1]) and len(holm(p[:0])) == 0
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # the textbook example


def test_sign_flips_of_one_pair_a_repeat_are_mcnemar():
    shift = np.array([-1] * 12 + [1] * 3 + [0] * 20, float)
    assert signflip.p_value(shift) == pytest.approx(matched_pairs.mcnemar_p(12, 3), abs=1e-12)


@pytest.mark.parametrize(("clusters", "mean"), [(14, 0.5), (60, 0.2), (500, 0.05)])
def test_patterns_that_are_drawn_are_those_of_scipy(clusters, mean):
    sums = np.random.default_rng(clusters).normal(mean, 1, clusters)
    drawn = stats.permutation_test(
        (sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=20_000, batch=1000,
        rng=np.random.default_rng(1),
    ).pvalue
    assert signflip.p_value(sums) == pytest.approx(drawn, abs=0.02)
    assert signflip.p_value(sums) == signflip.p_value(-1e-3 * sums)


def test_many_repeats_are_exact_and_quick():
    shift = np.random.default_rng(0).integers(-9, 10, 1500).astype(float) + 0.25
    p = signflip.p_value(shift)
    normal = 2 * stats.norm.sf(abs(shift.sum()) / np.sqrt((shift**2).sum()))
    assert p == pytest.approx(normal, rel=0.02)


def test_no_cluster_no_effect():
    right = np.random.default_rng(0).random((4000, 11)) < 0.7
    effect = clusters.design_effect(right.sum(-1), np.full(4000, 11.0), right.sum())
    assert float(effect) == pytest.approx(1, abs=0.08)


def test_trials_that_are_one_count_once():
    sums = np.array([11.0, 0, 11, 11, 0, 11, 11, 0, 11, 0] * 10)
    effect = clusters.design_effect(sums, np.full(100, 11.0), sums.sum())
    assert float(effect) == pytest.approx(11 * 100 / 99, abs=1e-9)
    low, high = clusters.wilson(sums, np.full(100, 11.0), sums.sum(), 0.95)
    one_each = proportion_confint(60, 100, method="wilson")
    assert float(low) == pytest.approx(one_each[0], abs=0.005) and float(high) == pytest.approx(one_each[1], abs=0.005)


def test_one_repeat_or_one_trial_each_is_plain_wilson():
    for sums, sizes in (([7.0], [11.0]), ([1.0, 0, 1, 1], [1.0] * 4)):
        sums, sizes = np.array(sums), np.array(sizes)
        plain = proportion_confint(sums.sum(), sizes.sum(), method="wilson")
        assert np.allclose(clusters.wilson(sums, sizes, sums.sum(), 0.95), plain)


def test_all_right_is_never_a_point():
    for repeats in (1, 2, 5, 50):
        low, high = clusters.wilson(np.full(repeats, 11.0), np.full(repeats, 11.0), 11.0 * repeats, 0.95)
        assert float(low) < 0.995 and float(high) == pytest.approx(1)


def test_student_is_scipys():
    values = np.array([0.3, -0.2, 0.5, 0.1, -0.4])
    ours = clusters.student(values, np.ones(5), 0.95)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert np.allclose(ours, (theirs.low, theirs.high))


def test_unpaired_interval_is_newcombes():
    ends = [proportion_confint(count, 80, method="wilson") for count in (56, 48)]
    ours = two_samples.mover(56 / 80, ends[0], 48 / 80, ends[1])
    assert np.allclose(ours, confint_proportions_2indep(48, 80, 56, 80, method="newcomb", compare="diff"))
    # Newcombe (1998), 56/70 against 48/80: 0.0524 to 0.3339
    ends = [proportion_confint(48, 80, method="wilson"), proportion_confint(56, 70, method="wilson")]
    assert np.allclose(two_samples.mover(48 / 80, ends[0], 56 / 70, ends[1]), (0.0524, 0.3339), atol=5e-5)


def test_simulated_counts_are_the_simulated_pairs():
    rng = np.random.default_rng(0)
    wanted = {"lost": 0.15, "gained": 0.05, "correlation": 0.4}
    shift = simulation.differences(rng, 4000, 5, 11, **wanted)
    lost, gained = simulation.counts(rng, 4000, 5, 11, **wanted)
    for pairs, counts in (((shift < 0).sum(-1), lost), ((shift > 0).sum(-1), gained)):
        assert pairs.mean() == pytest.approx(counts.mean(), rel=0.04)
        assert pairs.std() == pytest.approx(counts.std(), rel=0.04)


def test_differences_of_shares_keep_their_variance():
    shift = np.random.default_rng(0).choice([-0.25, 0, 0.25], (200, 9), p=[0.3, 0.5, 0.2])
    size, lost, gained = np.full(200, 9.0), np.maximum(-shift, 0).sum(), np.maximum(shift, 0).sum()
    low, high = matched_pairs.interval(shift.sum(-1), size, gained, lost, (shift**2).sum(), np.int64(200), 0.95)
    exact = clusters.student(shift.sum(-1), size, 0.95)
    assert np.allclose((low, high), exact, atol=0.003)
