"""Betting's wealth is what it is said to be: no gain on average where nothing is true, and a proof seldom false."""

from itertools import product

import numpy as np
import pytest

from niah.stats import evidence


@pytest.mark.parametrize("threshold", [0.15, 0.5, 0.85])
def test_expected_wealth_is_one_at_the_threshold(threshold):
    """Over all sequences of right and wrong whose mean is just the threshold, and over all lengths of them."""
    values = np.array(list(product((0.0, 1.0), repeat=9)))
    chance = np.prod(np.where(values == 1, threshold, 1 - threshold), -1)
    wealth = evidence.growth(values, threshold).cumsum(-2)
    expected = (np.exp(evidence.evidence(wealth)) * chance[:, None]).sum(0)
    assert np.allclose(expected, 1)


def test_a_false_proof_is_as_rare_as_promised_however_long_one_looks():
    rng = np.random.default_rng(0)
    alpha, num = 0.05, 4000
    for values in (rng.random((num, 300)) < 0.85, rng.beta(8.5, 1.5, (num, 300))):
        wealth = evidence.growth(values.astype(float), 0.85).cumsum(-2)
        proven = (evidence.evidence(wealth) >= evidence.needed(alpha)).any(-1)
        assert proven.mean() <= alpha


def test_evidence_does_not_depend_on_the_order():
    values = np.array([1, 1, 0, 1, 0.5, 1])
    one, other = (evidence.evidence(evidence.growth(some, 0.85).sum(0)) for some in (values, values[::-1]))
    assert one == pytest.approx(other) and np.isfinite(one)


def test_a_mean_of_one_is_proven_by_few():
    wealth = evidence.growth(np.ones(60), 0.85).cumsum(0)
    num = int((evidence.evidence(wealth) < evidence.needed(0.04)).sum()) + 1
    assert 20 <= num <= 30  # no test can do with fewer than ln 25 / -ln 0.85 = 20


def test_pace_grows_with_the_mean():
    found = evidence.pace(np.linspace(0, 1, 11), 0.5)
    assert (np.diff(found) >= 0).all() and found[5] == 0 and found[-1] > 0.5
