"""What an answer costs: nothing is said of what nobody told."""

import math
from dataclasses import replace

import pytest

from niah.report import rag_text
from niah.stats import costs
from tests.helpers import runs


@pytest.mark.parametrize(("cached", "share", "shown"), [
    ([None, None], math.nan, " - "), ([0, 0], 0.0, " 0% "), ([500, None], 0.5, " 50% "), ([500, 0], 0.25, " 25% "),
])
def test_the_share_from_the_cache_is_of_the_answers_that_tell_it(cached, share, shown):
    made = runs.rows(runs.grid(lengths=(8192,), depths=(0.0,), repeats=2), lambda trial: 1.0)
    rows = [replace(row, num_prompt_tokens=1000, num_cached_tokens=num) for row, num in zip(made, cached, strict=True)]
    found = costs.cost(rows, 32, None)
    assert found.cached == pytest.approx(share, nan_ok=True)
    line = rag_text.costs([("reader", {8192: found})], [8192], [8192], None)[1]
    assert shown in line and "nan" not in line
