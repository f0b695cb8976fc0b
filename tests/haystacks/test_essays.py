"""Paul Graham's essays: the same text as ever, of the package or of a copy."""

import hashlib
import json

from niah.haystacks.essays import Essays
from tests.helpers.sources import read, refused

ESSAYS_SHA256 = "60787dd5dbac2bb87d3dc5bfeda14e5bf8c7942689f087bc858145393f4dc6aa"


def test_essays_are_the_same_text_as_ever(tmp_path):
    text, = read(Essays())
    assert hashlib.sha256(text.encode()).hexdigest() == ESSAYS_SHA256
    copy = tmp_path / "PaulGrahamEssays.json"
    copy.write_text(json.dumps({"text": "One day.  Another\nline."}))
    assert read(Essays(path=str(copy))) == ["One day. Another line."]
    before = Essays(path=str(copy)).identity()
    copy.write_text(json.dumps({"texts": []}))
    assert Essays(path=str(copy)).identity() != before
    refused(Essays(path=str(copy)), "has no essays")
    copy.write_text("{")
    refused(Essays(path=str(copy)), "cannot be read", "expected JSON")
    refused(Essays(path=str(tmp_path / "gone.json")), "no such file")
