import pytest

from niah.errors import NiahError
from niah.units import format_bytes, format_count, format_length, format_seconds, parse_length


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


@pytest.mark.parametrize("written", ["99999999999999999999", "2000g", 2**41, "1e5"])
def test_what_no_text_has_is_no_length(written):
    with pytest.raises(NiahError, match=r"at most 1,099,511,627,776 tokens|not a length"):
        parse_length(written, "ctx.lengths[0]")


def test_digits_are_not_rounded():
    assert parse_length("1,099,511,627,775", "") == 2**40 - 1
    with pytest.raises(NiahError, match="not a length"):
        parse_length("9" * 5000, "ctx")


def test_labels_read_back():
    for tokens in (1000, 1024, 8192, 2**20, 10 * 2**20, 10_000_000):
        assert parse_length(format_length(tokens), "") == tokens


def test_one_is_no_plural():
    assert [format_count(n, "trial") for n in (0, 1, 1760)] == ["0 trials", "1 trial", "1,760 trials"]


def test_seconds():
    assert [format_seconds(s) for s in (42.4, 200, 7500)] == ["42 s", "3 min 20 s", "2 h 05 min"]


def test_sizes_have_one_to_three_digits_before_the_point():
    sizes = (0, 999, 1500, 999_949, 999_950, 2e6, 3.21e9, 27_682_406_400_000)
    assert [format_bytes(n) for n in sizes] == [
        "0 B", "999 B", "1.5 kB", "999.9 kB", "1.0 MB", "2.0 MB", "3.2 GB", "27.7 TB"
    ]
