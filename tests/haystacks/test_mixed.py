"""Several sources in one."""

from itertools import islice

import pytest

from niah.errors import NiahError
from niah.haystacks.essays import Essays
from niah.haystacks.mixed import Mixed
from tests.helpers.sources import days, never, read


def test_parts_of_a_mix_follow_each_other():
    source = Mixed(parts=["essays", "records"])
    essay, first, second = islice(source.documents(never), 3)
    assert essay == read(Essays())[0]
    assert [first, second] == days(2)
    assert source.endless and source.by_line
    finite = Mixed(parts=["essays", "wikipedia"])
    assert not finite.endless and not finite.by_line
    assert len(read(finite)) == 1 + 66_635 + 1_204
    assert len({Mixed().identity(), source.identity(), finite.identity()}) == 3


def test_the_default_mix_ends_with_endless_prose():
    source = Mixed()
    assert source.parts == ["essays", "wikipedia", "generated"] and source.endless
    assert len(list(islice(source.documents(never), 67_850))) == 67_850


def test_a_wrong_mix_is_refused():
    for parts, words in ((["essays", "books"], "books"), ([], "none"), (["records", "essays"], "records has no end")):
        with pytest.raises(NiahError, match=words):
            Mixed(parts=parts)
