"""Exact places (ctx.stem): any length, the needle at the very token, the beginning shared or the trial's own."""

import numpy as np
import pytest

from niah.errors import NiahError
from niah.prompts import exact
from niah.prompts.recipe import Recipe
from niah.records import Trial
from niah.tokens.splice import is_canonical
from tests.helpers.configs import built
from tests.prompts.test_properties import MODELS

WORDS = ("task=single", "haystack=generated", "ctx.stem=512", "ctx.measure=4096")


def recipe(model: str) -> Recipe:
    return Recipe(built(*MODELS[model], *WORDS, "ctx.lengths=[400,1200,1201,1300]", "ctx.depths=[0,100]"))


def trial(length: int, place: float, repeat: int = 0) -> Trial:
    return Trial(0, length, 100 * place / 4096, repeat)


@pytest.mark.parametrize("model", ["smollm2", "qwen3_5", "deepseek_r1"])
def test_lengths_and_places_are_exact(model):
    made = recipe(model)
    off = []
    for length, place in ((400, 120), (400, 121), (1201, 150), (1200, 850), (1201, 967), (1300, 1001)):
        prompt = made.build(trial(length, place)).prompt
        assert len(prompt.ids) == length - made.run.answer_tokens and is_canonical(made.tokenizer, prompt.ids)
        off.append(abs(prompt.spans[0][0] - place))
    assert max(off) <= 1 and off.count(0) >= 4


def test_beginnings_are_shared_and_ends_are_not():
    made = recipe("smollm2")
    one, other = (made.build(trial(length, 1000)).prompt.ids for length in (1201, 1300))
    differ = int(np.flatnonzero(one[:1100] != other[:1100])[0])
    assert exact.num_shared(1201 - made.run.answer_tokens, 512) <= differ < 1000
    again = made.build(trial(1201, 1000.25)).prompt.ids
    assert np.array_equal(one, again)
    short, next_to_it = (made.build(trial(400, place)).prompt.ids for place in (200, 201))
    assert np.flatnonzero(short[:200] != next_to_it[:200])[0] < 60


def test_what_has_no_place_is_refused():
    made = Recipe(built(*MODELS["smollm2"], "task=multikey", *WORDS[1:], "ctx.lengths=[1200]", "ctx.depths=[0]"))
    with pytest.raises(NiahError, match="that of one needle"):
        made.build(made.trials[0])
    with pytest.raises(NiahError, match="exact places need"):
        built("ctx.stem=512")
