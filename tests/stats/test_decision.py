"""Verdicts of `decide` on invented pairs (benchmarks/decide.py has the table): seldom false, and they come."""

from itertools import product

import numpy as np
import pytest

from niah.stats import decision, evidence, simulation
from niah.stats.decision import NOT_WORSE, OPEN, WORSE


def test_signed_wealth_does_not_grow_where_a_difference_is_as_likely_as_its_opposite():
    sizes = np.array([1.0, 0.25, 0.0, 0.5, 1.0, 0.1])
    signs = np.array(list(product((-1.0, 1.0), repeat=len(sizes))))
    found = np.exp(decision.worse(signs * sizes))
    assert np.allclose(found.mean(0), 1)


@pytest.mark.parametrize("trials", [1, 12])
@pytest.mark.parametrize(("loss", "which"), [(0.0, "worse"), (0.1, "not worse")])
def test_false_verdicts_are_rare_however_long_one_looks(trials, loss, which):
    rng = np.random.default_rng(3)
    lost, gained = simulation.counts(rng, 1000, 300, trials, lost=0.05 + loss, gained=0.05, correlation=0.5)
    shift = (gained - lost) / trials
    if which == "worse":
        wrong = (decision.worse(shift) >= evidence.needed(0.05)).any(-1)
    else:
        wrong = (decision.not_worse(shift, loss) >= evidence.needed(0.05)).any(-1)
    assert wrong.mean() <= 0.05


def test_verdicts():
    none = {8: np.zeros(0)}
    assert decision.decide(np.zeros(0), none, 1, 0.1, 0.05).verdict == OPEN
    assert decision.decide(np.zeros(60), none, 1, 0.1, 0.05).verdict == NOT_WORSE
    assert decision.decide(-np.ones(12), none, 1, 0.1, 0.05).verdict == WORSE
    at_one = decision.decide(np.zeros(5), {8: np.zeros(5), 16: -np.ones(12)}, 2, 0.1, 0.05)
    assert (at_one.verdict, at_one.where) == (WORSE, 16)


def test_a_verdict_stays():
    """What was proven once is proven: later repeats do not take it back."""
    shift = np.concatenate([-np.ones(12), np.ones(40)])
    assert decision.decide(shift, {}, 1, 0.1, 0.05).verdict == WORSE
