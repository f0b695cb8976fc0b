"""Lines that look like needles: each key and each value once."""

import re
from itertools import islice

import numpy as np
import pytest

from niah.errors import NiahError
from niah.haystacks import distractors
from niah.haystacks.distractors import Distractors
from tests.helpers.sources import UUID, never


@pytest.mark.parametrize("key", ["words", "uuid"])
@pytest.mark.parametrize("answer", ["number", "word", "uuid"])
def test_distractors_have_keys_and_values_of_their_own(key, answer):
    shapes = {"number": r"\d{7}", "word": r"[a-z]+-[a-z]+", "words": r"[a-z]+-[a-z]+", "uuid": UUID.pattern}
    line = re.compile(f"One of the special magic {answer}s for ({shapes[key]}) is: ({shapes[answer]})\\.")
    source = Distractors(key=key, answer=answer)
    documents = list(islice(source.documents(never), 40))
    pairs = [line.fullmatch(text).groups() for document in documents for text in document.splitlines()]
    assert len(pairs) == 40_000 and len({text for pair in pairs for text in pair}) == 80_000
    assert documents == list(islice(source.documents(never), 40))
    other = Distractors(key=key, answer=answer, seed=1)
    assert next(other.documents(never)) != documents[0] and other.identity() != source.identity()


def test_used_up_words_and_numbers_go_on_with_numbers():
    num_pairs = len(distractors._plain("adjective")) * len(distractors._plain("noun"))
    assert num_pairs > 5_000_000
    pairs = distractors._word_pairs(np.random.default_rng(0))
    first, later = next(pairs), next(islice(pairs, num_pairs - 1, None))
    assert re.fullmatch(r"[a-z]+-[a-z]+", first) and re.fullmatch(r"[a-z]+-[a-z]+-2", later)


def test_distractors_of_another_sentence():
    source = Distractors(sentence="{value} is the {answer} of {key}; {braces} stay.")
    assert re.match(r"\d{7} is the number of [a-z-]+; {braces} stay\.\n", next(source.documents(never)))
    for wrong in ({"sentence": "{key} only"}, {"answer": "words"}, {"key": "word"}, {"seed": -1}):
        with pytest.raises(NiahError, match=next(iter(wrong))):
            Distractors(**wrong)
