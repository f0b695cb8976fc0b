"""Sentence ends are found where a needle goes: the same as in the whole text, in every script."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from niah.haystacks import corpus
from niah.tokens import boundaries
from tests.helpers.texts import passages
from tests.helpers.tokenizers import load_tokenizer


def ids_of(name: str, text: str) -> np.ndarray:
    return np.concatenate(corpus.tokenise(corpus.chunks([text], ""), load_tokenizer(name)))


def test_sentence_ends_in_many_scripts():
    text = (
        "Mr. Smith paid $3.50 at 9 a.m. sharp. “Really?” she asked. 他说天黑了。我们走吧！हाँ। ठीक है। هل نذهب؟ نعم. "
        "no capital after. here\n\nTitle without mark\nNext"
    )
    cuts = {text[: m.end()] for m in boundaries.SENTENCE_END.finditer(text)}
    assert text[: text.index("“Really?”")].rstrip() in cuts
    assert text[: text.index("我们")] in cuts
    assert text[: text.index(" ठीक")] in cuts
    assert text[: text.index(" نعم")] in cuts
    assert text[: text.index("Next")] in cuts
    assert text[: text.index("50 at")] not in cuts
    assert text[: text.index(" here")] not in cuts


@pytest.mark.parametrize("name", ["smollm2", "llama4", "qwen3_5", "gemma3", "deepseek_r1"])
@given(text=passages, share=st.floats(0, 1))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_nearest_is_a_sentence_end_of_the_whole_text(name, text, share):
    """Checked against the pattern over the whole text, with the tokens that begin where a match ends."""
    tokenizer = load_tokenizer(name)
    text *= 3 if name == "gemma3" else 12  # its BPE is quadratic in a text without breaks
    encoding = tokenizer.encode(text)
    ids = encoding.ids
    wanted = share * len(ids)
    found = boundaries.nearest(tokenizer, ids, wanted, len(ids) - 1)
    ends = {m.end() for m in boundaries.SENTENCE_END.finditer(text)}
    starts, stops = encoding.starts.tolist(), encoding.stops.tolist()
    places = [0, *(i for i in range(1, len(ids)) if starts[i] in ends and stops[i - 1] <= starts[i])]
    nearest = min(abs(place - wanted) for place in places)
    if nearest <= 96:
        assert abs(found - wanted) <= nearest + 1


@pytest.mark.parametrize("name", ["llama4", "gemma3"])
def test_text_without_sentence_marks_still_has_places(name):
    for text in ("word " * 3000, "ไม่มีเว้นวรรค" * 800, "a" * 5000):
        ids = ids_of(name, text)
        for wanted in range(100, len(ids), max(1, len(ids) // 9)):
            assert abs(boundaries.nearest(load_tokenizer(name), ids, wanted, len(ids) - 1) - wanted) < 20


def test_nothing_is_planted_behind_the_last_place():
    ids = ids_of("smollm2", "One day. Another day. " * 100)
    for stop in (0, 1, 5, 77):
        assert boundaries.nearest(load_tokenizer("smollm2"), ids, 10_000, stop) <= stop


def test_lines_and_paragraphs():
    tokenizer = load_tokenizer("llama4")
    text = "def f():\n    return 1\n\n\ndef g():\n    return 2\n\n" * 40
    ids = ids_of("llama4", text)
    for unit, before in (("line", "\n"), ("paragraph", "\n\n")):
        place = boundaries.nearest(tokenizer, ids, len(ids) / 2, len(ids), unit)
        assert abs(place - len(ids) / 2) < 20 and tokenizer.decode(ids[:place]).endswith(before)


def test_a_stretch_begins_with_a_paragraph():
    tokenizer = load_tokenizer("smollm2")
    ids = ids_of("smollm2", "It rained. The sun came out.\n\nThe next day nothing happened. Nobody came.\n\n" * 50)
    for position in range(0, len(ids) - 60, 37):
        start = boundaries.next_paragraph(tokenizer, ids, position)
        assert position <= start < position + 30
        assert tokenizer.decode(ids[start:]).startswith(("It rained", "The next day"))
    assert boundaries.next_paragraph(tokenizer, ids, len(ids) - 1) in (0, len(ids) - 1)
