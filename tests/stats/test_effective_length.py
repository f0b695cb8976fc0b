"""Effective length by each definition."""

import numpy as np
import pytest

from niah.report.accuracy import effective_lengths
from niah.stats import effective_length
from tests.helpers.runs import DEPTHS, grid, rows

LADDER = (1024, 2048, 4096, 8192, 16384)


def summary(accuracies, repeats=8, threshold=None, lengths=LADDER):
    """At each length that share of repeats is right at all depths."""
    wanted = dict(zip(lengths, accuracies, strict=True))
    content = rows(grid(repeats, lengths, DEPTHS), lambda t: t.repeat < round(wanted[t.length] * repeats))
    return effective_length.summary(content, threshold, 0.95), content


def lengths_of(found):
    return {e.name.split(",")[0].split(" ")[0]: e.length for e in found.effective}


def test_three_definitions():
    found, _ = summary((1.0, 0.9, 0.8, 0.7, 0.2), repeats=10, threshold=0.75)
    assert lengths_of(found) == {"RULER": 2048, "NoLiMa": 2048, "your": 4096}
    found, _ = summary((0.8, 0.8, 0.7, 0.6, 0.2), repeats=10)  # 85% of 0.8 is 0.68
    assert lengths_of(found) == {"RULER": 0, "NoLiMa": 4096}
    assert found.effective[1].threshold == pytest.approx(0.68) and found.base_lengths == (1024,)


def test_base_is_the_shortest_length_where_none_is_up_to_1k():
    found, _ = summary((0.8, 0.8), repeats=5, lengths=(8192, 16384))
    assert found.base_lengths == (8192,) and found.base == pytest.approx(0.8)


def test_the_first_failure_ends_it():
    found, _ = summary((1.0, 1.0, 0.5, 1.0, 1.0), repeats=4)
    assert lengths_of(found) == {"RULER": 2048, "NoLiMa": 2048}


def test_the_end_of_the_ladder_is_at_least():
    found, content = summary((1.0,) * 5, repeats=20)
    assert all(e.is_open and e.high_is_open and e.length == e.low == 16384 for e in found.effective)
    text = "\n".join(effective_lengths(content, 0.9))
    assert "effective length (RULER, 85.6%): at least 16K [16K, at least 16K]" in text and "your 90.0%" in text


def test_few_repeats_promise_little():
    found, content = summary((1.0, 1.0, 1.0, 0.5, 0.0), repeats=4)
    ruler = found.effective[0]
    assert (ruler.length, ruler.low, ruler.high) == (4096, 0, 4096)
    assert "below 1K" in "\n".join(effective_lengths(content, None))


def test_one_repeat_says_so():
    _, content = summary((1.0,) * 5, repeats=1)
    assert "1 repeat: all intervals are about this one needle" in effective_lengths(content, None)[-1]


def test_area_counts_doublings_the_same():
    found, _ = summary((1.0, 1.0, 0.5, 0.5, 0.0), repeats=4)
    assert found.area == pytest.approx(np.trapezoid([1, 1, 0.5, 0.5, 0], [0, 1, 2, 3, 4]) / 4)
    found, _ = summary((1.0, 0.5, 0.0), repeats=4, lengths=(1024, 4096, 8192))  # 2 doublings, then 1
    assert found.area == pytest.approx((0.75 * 2 + 0.25) / 3)
    assert 0 < found.area_low < found.area < found.area_high < 1


def test_nothing_answered_is_nothing():
    assert effective_length.summary(rows(grid(2), lambda t: None), None, 0.95) is None
