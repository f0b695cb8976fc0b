"""Exact tests of classes within strata: beside scipy's and a count of all permutations; what is named of many."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from niah.stats import classes
from niah.stats.classes import Class, Scope


@pytest.mark.parametrize("seed", range(3))
def test_one_stratum_is_fishers_and_wilcoxons_test(seed):
    rng = np.random.default_rng(seed)
    member, stratum = rng.permutation(np.arange(14) < 5), np.zeros(14, int)
    wrong = (rng.random(14) < 0.4).astype(float)
    table = [[wrong[member].sum(), (1 - wrong[member]).sum()], [wrong[~member].sum(), (1 - wrong[~member]).sum()]]
    assert classes.exact_p(wrong, member, stratum, is_rank=False) == pytest.approx(
        stats.fisher_exact(table, alternative="greater").pvalue
    )
    ranks = rng.permutation(14) + 1.0
    expected = stats.mannwhitneyu(ranks[member], ranks[~member], alternative="greater", method="exact").pvalue
    assert classes.exact_p(ranks, member, stratum, is_rank=True) == pytest.approx(expected)


@pytest.mark.parametrize("is_rank", [False, True])
def test_strata_are_permuted_apart(is_rank):
    scores = np.array([3.0, 1, 2, 4, 5, 2, 4, 1, 3]) if is_rank else np.array([1.0, 0, 1, 0, 1, 1, 0, 0, 0])
    stratum = np.array([0] * 5 + [1] * 4)
    member = np.array([1, 0, 0, 1, 1, 1, 1, 0, 0], dtype=bool)
    sums = [
        scores[list(a)].sum() + scores[list(b)].sum()
        for a in combinations(range(5), 3) for b in combinations(range(5, 9), 2)
    ]
    expected = np.mean(np.array(sums) >= scores[member].sum())
    assert classes.exact_p(scores, member, stratum, is_rank=is_rank) == pytest.approx(expected)


def scope(wrong: np.ndarray, strength: np.ndarray) -> Scope:
    """Lengths 0 to 95 in three strata, with all residues up to 16."""
    num = np.arange(len(wrong))
    own = [
        Class(f"{one} mod {period}", num % period == one, (period,)) for period in range(2, 17) for one in range(period)
    ]
    return Scope(num // 32, wrong, strength, own, num)


@pytest.mark.parametrize("is_weak", [False, True])
def test_the_simplest_class_that_holds_all_is_named_alone(is_weak):
    num, rng = np.arange(96), np.random.default_rng(1)
    struck = num % 4 == 3
    strength = rng.normal(0, 1, 96) - 5 * struck
    wrong = struck & (not is_weak)
    found = classes.search([scope(wrong, strength)], 0.05).found
    assert [one.name for one in found] == ["3 mod 4"] and found[0].adjusted < 1e-6
    assert found[0].signal == ("weak" if is_weak else found[0].signal)


def test_two_faults_are_both_named_and_none_where_there_is_none():
    num, rng = np.arange(96), np.random.default_rng(3)
    strength = rng.normal(0, 1, 96)
    assert not classes.search([scope(np.zeros(96, bool), strength)], 0.05).found
    both = (num % 4 == 3) | (num % 5 == 1)
    names = [one.name for one in classes.search([scope(both, strength - 6 * both)], 0.05).found]
    assert sorted(names) == ["1 mod 5", "3 mod 4"]


def test_what_would_have_been_found():
    assert classes.detectable_share(20, 300, 0.0, 1e-5) < 0.4 < classes.detectable_share(8, 300, 0.05, 1e-5)
    assert np.isnan(classes.detectable_share(2, 300, 0.5, 1e-5))
    assert classes.detectable_shift(80, 240, 1.0, 1e-5) < classes.detectable_shift(8, 240, 1.0, 1e-5)
