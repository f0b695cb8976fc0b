"""Intervals hold their coverage and tests their level; the full table is ``python benchmarks/calibration.py``."""

import importlib.util

import pytest

from tests.helpers.command import REPOSITORY

_spec = importlib.util.spec_from_file_location("calibration", REPOSITORY / "benchmarks" / "calibration.py")
calibration = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(calibration)

NAIVE = ("cluster bootstrap", "as independent", "skewed")
"""Measured to show why something else is used."""
LOWEST = {"a cell: Wilson": 0.82, "log-probability: t by repeat": 0.89, "effective length: RULER": 0.91}
"""Wilson's own dips at few trials; few repeats of a skewed signal; 10 repeats of a curve along the threshold."""


def check(runs: int, repeats: int, correlation: float, slack: float) -> None:
    for name, scenario, value in calibration.coverage(runs, repeats, correlation):
        if not any(word in name for word in NAIVE):
            assert value >= LOWEST.get(name, 0.93) - slack, (name, scenario, repeats, correlation, value)
    for name, scenario, value in calibration.false_positives(runs, repeats, correlation):
        if not any(word in name for word in NAIVE):
            highest = 0.045 if "0.025 promised" in name else 0.06
            assert value <= highest + slack, (name, scenario, repeats, correlation, value)


@pytest.mark.parametrize(("repeats", "correlation"), [(3, 0.3), (6, 0.0), (10, 0.5), (20, 0.5)])
def test_promises_are_kept(repeats, correlation):
    check(400, repeats, correlation, slack=0.03)


def test_trials_taken_as_independent_would_not_keep_them():
    found = calibration.false_positives(300, 10, 0.3)
    rates = {name: value for name, scenario, value in found if scenario == "0.3 discordant"}
    assert rates["overall: McNemar, pairs as independent"] > 0.3
    assert rates["overall: sign flips by repeat, decides"] < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("correlation", calibration.CORRELATIONS)
@pytest.mark.parametrize("repeats", calibration.REPEATS)
def test_promises_are_kept_in_10000_grids(repeats, correlation):
    check(10_000, repeats, correlation, slack=0.012)
