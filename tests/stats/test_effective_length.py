"""Effective length by each definition."""

import csv
from pathlib import Path

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


PUBLISHED = Path(__file__).parent / "published"
NOT_THEIR_OWN = {
    "Qwen3-14B (14B)", "Qwen3-8B (8B)", "Qwen3-4B (4B)", "Qwen2.5-7B-Instruct-1M (7B)", "EXAONE-4.0-1.2B (1.2B)",
}
"""Rows whose stated effective length is not that of their own scores."""


def table(name, columns):
    """Of each row its fields, lengths in tokens and scores in percent, as far as they are published."""
    with (PUBLISHED / name).open() as file:
        for row in csv.DictReader(file):
            scores = {1024 * int(column[:-1]): float(row[column]) for column in columns if row[column]}
            yield row, list(scores), list(scores.values())


def stated(text, last):
    """"64K", "<4K", ">128K" in tokens; beyond the table's last length is that length."""
    return 0 if text[0] == "<" else last if text[0] == ">" else 1024 * int(text[:-1])


def test_rulers_published_effective_lengths_are_ours():
    found = {
        row["model"] + row["claimed"]: stated(row["effective"], lengths[-1]) == effective_length.reach(
            lengths, scores, 100 * effective_length.RULER
        )
        for row, lengths, scores in table("ruler.csv", ("4K", "8K", "16K", "32K", "64K", "128K"))
    }
    others = {name for name, agrees in found.items() if not agrees}
    assert len(found) == 44 and len(others) == 5 and all(any(o.startswith(n) for n in NOT_THEIR_OWN) for o in others)


def test_nolimas_published_effective_lengths_are_ours():
    found = [
        (row["model"], stated(row["effective"], lengths[-1]), effective_length.reach(
            lengths, scores, effective_length.NOLIMA * float(row["base"])
        ))
        for row, lengths, scores in table("nolima.csv", ("1K", "2K", "4K", "8K", "16K", "32K"))
    ]
    assert len(found) == 18 and all(theirs == ours for _, theirs, ours in found), found
    assert sum(ours == 0 for *_, ours in found) == 6  # below 1K


def test_rulers_published_means_are_ours():
    rows_with_all = [
        (row, np.array(scores)) for row, _, scores in table("ruler.csv", ("4K", "8K", "16K", "32K", "64K", "128K"))
        if row["wavg_inc"]
    ]
    rising, falling = effective_length.ruler_weights(6)
    for row, scores in rows_with_all:
        means = scores.mean(), scores @ rising, scores @ falling
        assert means == pytest.approx([float(row[name]) for name in ("mean", "wavg_inc", "wavg_dec")], abs=0.11), row
    assert len(rows_with_all) == 34 and rising.sum() == pytest.approx(1)


def test_nolimas_base_stands_apart_from_its_ladder():
    lengths = (256, 512, 1024, 2048, 4096)
    found, content = summary((1.0, 1.0, 0.7, 0.6, 0.5), repeats=10, lengths=lengths)  # base 0.9, 85% of it 0.765
    nolima = found.effective[1]
    assert (nolima.length, nolima.first, nolima.is_open) == (0, 1024, False) and found.base == pytest.approx(0.9)
    text = "\n".join(effective_lengths(content, None))
    assert "effective length (NoLiMa, 85% of 0.900 at 256, 512, 1K): below 1K [below 1K, " in text
    found, _ = summary((0.3, 0.5, 0.9, 0.9, 0.4), repeats=10, lengths=lengths)  # short lengths below the threshold
    assert found.effective[1].length == 2048


@pytest.mark.parametrize(("accuracies", "lengths", "reason"), [
    ((0.0, 0.5), (4096, 8192), "undefined, the base score, at 4K, is 0"),
    ((0.0, 0.0, 0.0), (512, 1024, 2048), "undefined, the base score, at 512, 1K, is 0"),
    ((1.0, 0.5), (256, 512), "undefined, all lengths are of the base (256, 512); its ladder begins at 1K"),
])
@pytest.mark.parametrize("repeats", [4, 12])
def test_nolimas_length_can_be_undefined(accuracies, lengths, reason, repeats):
    _, content = summary(accuracies, repeats=repeats, lengths=lengths)
    lines = effective_lengths(content, None)
    assert lines[1].startswith("effective length (NoLiMa, 85% of ") and lines[1].endswith(reason), lines


def test_intervals_hold_what_was_seen():
    rng = np.random.default_rng(0)
    for _ in range(40):
        drawn = rng.random((10, 5)) < np.array([0.95, 0.9, 0.87, 0.85, 0.5])
        content = rows(grid(10, LADDER, (0.0,)), lambda t, d=drawn: bool(d[t.repeat, LADDER.index(t.length)]))
        for one in effective_length.summary(content, 0.9, 0.95).effective:
            assert one.undefined or one.low <= one.length <= one.high, one


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
