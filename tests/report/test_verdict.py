"""The table of a comparison: names of runs above its columns."""

import pytest

from niah.report import verdict

LONG = "smollm2_135m-single-essays-full"


@pytest.mark.parametrize(("base", "other", "heads"), [
    ("a", "b", ("a", "b")),
    (f"{LONG}-bf16-139203", f"{LONG}-fp8-139203", ("…bf16-139203", "…fp8-139203")),
    ("a" * 20, "a" * 19 + "b", ("a" * 16, "a" * 16)),
])
def test_long_names_that_begin_alike_are_told_apart(base, other, heads):
    assert verdict._heads(base, other) == heads
