import math

import pytest

from niah.stats.cells import by_cell, by_length
from tests.helpers.runs import made


def test_one_trial_is_never_a_point():
    cell = by_cell([made(0, 1024, 50.0, "correct", 1.0)])[1024, 50.0]
    assert (cell.mean, cell.n) == (1.0, 1)
    assert (round(cell.low, 2), round(cell.high, 2)) == (0.21, 1.0)


def test_wilson_of_ten_of_ten():
    (cell,) = by_length([made(i, 1024, 10.0 * i, "correct", 1.0) for i in range(10)])
    assert (round(cell.low, 2), round(cell.high, 2), cell.n, cell.depth) == (0.72, 1.0, 10, None)


def test_errors_are_no_wrong_answers():
    rows = [
        made(0, 1024, 0.0, "correct", 1.0), made(1, 1024, 0.0, "engine-error", None),
        made(2, 1024, 0.0, "refused", 0.0),
    ]
    cell = by_cell(rows)[1024, 0.0]
    assert (cell.mean, cell.n, cell.errors) == (0.5, 2, 1)
    assert cell.outcomes == {"correct": 1, "engine-error": 1, "refused": 1}


@pytest.mark.parametrize("outcome", ["engine-error", "out-of-memory", "does-not-fit"])
def test_no_answer_is_no_zero(outcome):
    cell = by_cell([made(0, 1024, 0.0, outcome, None)])[1024, 0.0]
    assert cell.n == 0 and math.isnan(cell.mean) and math.isnan(cell.low) and cell.errors == 1
