import pytest

from niah.errors import NiahError
from niah.units import format_length, format_seconds, parse_length


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("8k", 8192), ("1M", 2**20), ("10m", 10_485_760), (8192, 8192), ("8,192", 8192), ("1.5k", 1536), ("0.5m", 2**19)],
)
def test_lengths_people_write(written, tokens):
    assert parse_length(written, "ctx") == tokens


@pytest.mark.parametrize("written", ["8q", "", "k", "-8k", "0", "1.0001k", None, True, [8]])
def test_what_is_no_length_is_named_with_its_key(written):
    with pytest.raises(NiahError, match=r"ctx\.lengths\[0\]: not a length"):
        parse_length(written, "ctx.lengths[0]")


def test_labels_read_back():
    for tokens in (1000, 1024, 8192, 2**20, 10 * 2**20, 10_000_000):
        assert parse_length(format_length(tokens), "") == tokens


def test_seconds():
    assert [format_seconds(s) for s in (42.4, 200, 7500)] == ["42 s", "3 min 20 s", "2 h 05 min"]
