"""RULER's repeated sentences."""

from itertools import islice

import pytest

from niah.errors import NiahError
from niah.haystacks.noise import Noise
from tests.helpers.sources import never


def test_noise_goes_on_for_ever():
    source = Noise()
    assert source.endless and source.separator == "\n"
    assert set(islice(source.documents(never), 10_000)) == {source.sentences}
    with pytest.raises(NiahError, match="sentences"):
        Noise(sentences=" ")
