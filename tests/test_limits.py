"""A field's limits, on its own line."""

import re
from dataclasses import dataclass, field

import pytest

from niah import limits
from niah.errors import NiahError
from niah.limits import free_text, limited, one_of


@dataclass(frozen=True)
class Settings:
    keys: int = limited(4, at_least=1)
    share: float = limited(0.1, at_least=0, below=1)
    margin: float | None = limited(None, above=0, below=1, example="0.02")
    part: float = limited(0.5, above=0, at_most=1, expected="a share of answers", example="0.9")
    top: int = limited(3, at_most=9)
    depths: list[float] = limited([0.0, 100.0], at_least=0, at_most=100)
    order: str = one_of("coherent", "shuffled")
    kind: str = one_of("a", "b", "c", default="c")
    across: str | None = one_of("model", "task", default=None)
    note: str = free_text("")
    plain: int = field(default=0)

    def __post_init__(self) -> None:
        limits.check(self, "group")


def test_defaults_are_within_their_limits_and_no_two_share_a_list():
    assert Settings().kind == "c" and Settings().depths is not Settings().depths


@pytest.mark.parametrize(("given", "message"), [
    ({"keys": 0}, "group.keys: got 0; expected at least 1"),
    ({"share": 1.0}, "group.share: got 1; expected 0 to below 1"),
    ({"margin": 0.0}, "group.margin: got 0; expected above 0, below 1, as 0.02"),
    ({"margin": float("nan")}, "group.margin: got nan; expected above 0, below 1, as 0.02"),
    ({"part": 2.0}, "group.part: got 2; expected a share of answers, as 0.9"),
    ({"top": 10}, "group.top: got 10; expected at most 9"),
    ({"depths": [0.0, 101.0]}, "group.depths[1]: got 101; expected 0 to 100"),
    ({"depths": [101.0]}, "group.depths: got 101; expected 0 to 100"),
    ({"order": "x"}, "group.order: got 'x'; expected coherent or shuffled"),
    ({"kind": "x"}, "group.kind: got 'x'; expected one of a, b, c"),
    ({"across": "x"}, "group.across: got 'x'; expected model or task, or null"),
])
def test_a_value_outside_is_one_line_with_the_full_key(given, message):
    with pytest.raises(NiahError, match=re.escape(message)):
        Settings(**given)
