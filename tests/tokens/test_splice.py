import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from niah.tokens.splice import WINDOW, Control, is_canonical, splice
from tests.helpers.texts import anything, passages
from tests.helpers.tokenizers import load_tokenizer

NAMES = ("smollm2", "llama4", "qwen3_5", "gemma3")
COMMON = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", NAMES)
@given(left=passages, middle=st.one_of(passages, anything), right=passages)
@COMMON
def test_joined_ids_are_those_of_the_joined_text(name, left, middle, right):
    """The whole point: cutting ids apart and joining them gives what the tokenizer would have given."""
    tokenizer = load_tokenizer(name)
    left, right = left * 8, right * 8  # long enough to stay ids
    pieces = [tokenizer.encode(left).ids, middle, tokenizer.encode(right).ids]
    text = "".join([tokenizer.decode(pieces[0]), middle, tokenizer.decode(pieces[2])])
    joined = splice(tokenizer, pieces)
    assert joined.ids.tolist() == tokenizer.encode(text).ids.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_spans_hold_their_pieces(name):
    tokenizer = load_tokenizer(name)
    filler = tokenizer.encode("The river ran on past the mill. " * 60).ids
    needle, question = "The password is 7351.", "\n\nWhat is it?"
    pieces = [Control(1), "Read: ", filler, " ", needle, " ", filler[:150], question, Control(2)]
    joined = splice(tokenizer, pieces)
    start, stop = joined.spans[4]
    assert "The password is 7351." in tokenizer.decode(joined.ids[start:stop])
    assert len(tokenizer.decode(joined.ids[start:stop])) <= len("The password is 7351.") + 2
    assert joined.ids[0] == 1 and joined.ids[-1] == 2
    assert joined.spans[0] == (0, 1) and joined.spans[-1] == (len(joined.ids) - 1, len(joined.ids))
    first, stop, place = joined.kept[2]
    assert stop - first >= len(filler) - 3 * WINDOW
    assert np.array_equal(joined.ids[place : place + stop - first], filler[first:stop])


def test_canonical_sees_a_bad_seam():
    tokenizer = load_tokenizer("smollm2")
    halves = [tokenizer.encode(part).ids for part in ("The light", "house keeper")]
    assert not is_canonical(tokenizer, np.concatenate(halves))
    assert is_canonical(tokenizer, splice(tokenizer, halves).ids)


def test_nothing_at_all():
    assert len(splice(load_tokenizer("smollm2"), []).ids) == 0
    assert len(splice(load_tokenizer("smollm2"), [""]).ids) == 0
