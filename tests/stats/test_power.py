"""How much a comparison can tell, and what more would tell: the bounds of the search, and the interval behind it."""

import pytest
from scipy.stats import norm

from niah.stats import power
from niah.stats.comparison import Answers, Difference


@pytest.mark.parametrize(("enough", "most", "found"), [
    (6, 640, 6), (7, 640, 7), (640, 640, 640), (641, 640, None), (700, 640, None), (2900, 2000, None), (5, 6, 6),
])
def test_the_fewest_repeats_are_never_more_than_the_most(enough, most, found):
    asked = []

    def is_enough(repeats: int) -> bool:
        asked.append(repeats)
        return repeats >= enough

    assert power.fewest(is_enough, most) == found and max(asked) <= most


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_without_pairs_the_loss_that_80_percent_find_hangs_on_the_confidence(confidence):
    error, limit = 0.05, norm.ppf((1 + confidence) / 2)
    low, high = -limit * error, limit * error
    found = Difference((1024,), None, 100, 20, 0.5, 0.5, 0.0, low, high, 0, 0, float("nan"), 0.9, "repeats")
    nothing = Answers(*[norm.ppf([])] * 5)
    assert power.resolution(nothing, nothing, False, found, confidence).loss == pytest.approx(
        error * (limit + norm.ppf(0.8))
    )
