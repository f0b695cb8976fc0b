"""The noise margin of a KV dtype: where half and where all needles are found."""

from niah.stats.noise_margin import Share, thresholds


def test_thresholds_are_the_last_crossing_and_the_first_level_from_which_all_are_found():
    shares = [Share("bf16", 1024, 8 + step / 2, found, 4) for step, found in enumerate((0, 2, 1, 3, 4, 4))]
    (one,) = thresholds(shares)
    assert (one.half, one.all) == (9.25, 10.0)
    (none,) = thresholds(shares[:3])
    assert (none.half, none.all) == (None, None)
