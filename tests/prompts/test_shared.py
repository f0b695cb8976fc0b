"""Shared contexts (ctx.share): one text for all questions, exact lengths, each needle at its depth, answers once."""

from functools import cache

import numpy as np
import pytest

from niah import grid
from niah.errors import NiahError
from niah.prompts import shared
from niah.prompts.recipe import Built, Recipe
from niah.tokens.splice import is_canonical
from tests.helpers.configs import built
from tests.prompts.test_properties import MODELS

LENGTHS = (2048, 3001, 4096, 8192)
DEPTHS = (0.0, 10.0, 33.3, 50.0, 66.0, 100.0)
TASKS = {
    "single": ("task=single",), "uuid": ("task=single", "task.answer=uuid", "task.key_kind=uuid"),
    "multikey": ("task=multikey", "task.num_keys=30"), "multivalue": ("task=multivalue", "task.num_values=2"),
    "latent": ("task=latent", "task.num_distractors=2"), "conflicting": ("task=conflicting",),
    "records": ("task=single", "haystack=records"),
    "chinese": ("task=single", "haystack=generated", "haystack.language=zh-Hans"),
    "arabic": ("task=conflicting", "haystack=generated", "haystack.language=ar"),
    "noise": ("task=multikey", "haystack=noise"),
    "code": ("task=single", "haystack=code", "haystack.max_characters=1000000"),  # not every package here
}
SLOW = ("records", "chinese", "arabic", "code")
"""Their texts take a tokenizer long."""


@cache
def recipe(model: str, task: str, share: str) -> Recipe:
    lists = [f"ctx.lengths={list(LENGTHS)}", f"ctx.depths={list(DEPTHS)}"]
    words = [*MODELS[model], *TASKS[task], *(word.replace(" ", "") for word in lists)]
    return Recipe(built(*words, "ctx.repeats=2", f"ctx.share={share}"))


def common(a: np.ndarray, b: np.ndarray) -> int:
    """Tokens with which both begin."""
    num = min(len(a), len(b))
    differ = np.flatnonzero(a[:num] != b[:num])
    return int(differ[0]) if len(differ) else num


def check(made: Recipe, found: Built, length: int, depth: float) -> None:
    prompt, problem, tokenizer = found.prompt, found.problem, made.tokenizer
    assert len(prompt.ids) == length - made.run.task.answer_tokens and is_canonical(tokenizer, prompt.ids)
    for needle, (start, stop) in zip(problem.needles, prompt.spans, strict=True):
        assert needle in tokenizer.decode(prompt.ids[start:stop])
    rest = tokenizer.decode(prompt.ids)
    for needle in problem.needles[: problem.num_needed]:
        rest = rest.replace(needle, " ", 1)
    assert not [target for target in problem.targets if target.casefold() in rest.casefold()]
    assert not {*problem.targets} & {*problem.distractors}
    # within a sentence of the depth; at an end, of a shorter length too, before what the questions cut
    longest = max(stop - start for start, stop in prompt.spans)
    is_near_end = depth == 100 or made.run.ctx.share == grid.BY_REPEAT
    sentence = 400 if made.run.haystack.name == "code" else 90  # a docstring is one line of it
    allowed = sentence + is_near_end * (shared.SPARE + 3 * longest)
    assert abs(found.context.depths[0] - depth) <= 100 * allowed / length


@pytest.mark.parametrize("share", [grid.BY_LENGTH, grid.BY_REPEAT])
@pytest.mark.parametrize(
    ("model", "task"), [
        *((name, "single") for name in ("smollm2", "llama4")),
        *(pytest.param(name, "single", marks=pytest.mark.slow) for name in MODELS if name not in ("smollm2", "llama4")),
        *(pytest.param("smollm2", name, marks=[pytest.mark.slow] * (name in SLOW)) for name in [*TASKS][1:]),
    ]
)
def test_questions_of_one_text(model, task, share):
    """Every prompt has its exact length and its needle at its depth; those that share a text begin alike up to its
    last needle, and no answer stands twice."""
    made = recipe(model, task, share)
    first: dict[int, Built] = {}
    asked: dict[int, set[str]] = {}
    for trial in grid.in_running_order(made.trials, share):
        if trial.repeat:
            continue
        found = made.build(trial)
        check(made, found, trial.length, trial.depth)
        before = first.setdefault(trial.length if share == grid.BY_LENGTH else 0, found)
        needles = max(stop for start, stop in found.prompt.spans)
        assert common(before.prompt.ids, found.prompt.ids) >= needles - 1  # a seam may take a token with it
        asked.setdefault(trial.length, set()).add(found.problem.question)
    assert all(len(questions) == len(DEPTHS) for questions in asked.values())


@pytest.mark.slow
def test_needles_behind_each_other_are_moved_before_the_end():
    """They fit, though the last of them would stand behind the end if each were taken by itself."""
    words = ("task=multikey", "haystack=records", "ctx.lengths=[2048]", "ctx.depths=[97]", "task.placement=clustered")
    made = Recipe(built("ctx.share=depths", *words))
    for trial in made.trials:
        prompt = made.build(trial).prompt
        assert len(prompt.ids) == trial.length - made.run.task.answer_tokens
        assert max(stop for _, stop in prompt.spans) < len(prompt.ids) - shared.SPARE // 2


def test_repeats_differ_and_a_trial_is_the_same_every_time():
    made = recipe("smollm2", "single", grid.BY_REPEAT)
    one, other = (next(t for t in made.trials if t.repeat == repeat and t.depth == 50) for repeat in (0, 1))
    again = Recipe(made.run)
    assert made.build(one).prompt.sha256 == again.build(one).prompt.sha256 != made.build(other).prompt.sha256


def test_cells_at_one_place_share_a_needle():
    """In a ladder that doubles, half of the depths of a length stand where the next longer one has its own."""
    asked = shared.questions([1024, 2048, 4096, 8192], grid.DEPTHS)
    assert len(asked) == 1 + 10 + 3 * 5
    assert asked.of_cell[1024, 100.0] == asked.of_cell[2048, 50.0] != asked.of_cell[2048, 100.0]
    assert len(shared.questions([1024], grid.DEPTHS)) == len(grid.DEPTHS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("task=count",), "trials of task=count cannot share a context: it asks for all needles"),
        (("task=multiquery",), "several needles, so that no depth is its own"),
        (("task=absent",), "what it asks for stands nowhere"),
        (("task=aggregate",), "it asks about the whole text"),
        (("task=chain",), "the links of its chains lie all over the text"),
        (("task=qa",), "the paragraphs planted are those of one question"),
        (("task.template={question} {context}",), "the question before the context"),
        (("ctx.share=both",), "ctx.share: got 'both'; expected one of none, depths, lengths"),
    ],
)
def test_what_cannot_share_says_why(words, message):
    with pytest.raises(NiahError, match=r"ctx\.share") as refused:
        built("ctx.share=depths", *words)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("task.key=Rome",), "task.key: got 'Rome' for all 11 needles of a shared context"),
        (("task.needle=The word is {value}.",), "task.needle: without {key} all needles of a shared"),
        (("ctx.lengths=[256]",), "needles and question do not fit at 256"),
        (("task=latent", "ctx.depths=" + str(list(range(0, 100, 3))).replace(" ", "")), "of 30 facts in this language"),
        (("ctx.depths=" + str(list(range(100))).replace(" ", ""),), "there are not 100 different ones"),
    ],
)
def test_settings_that_leave_no_questions_apart(words, message):
    with pytest.raises(NiahError) as refused:
        Recipe(built("ctx.lengths=[4k]", "ctx.share=depths", *words)).check()
    assert message in str(refused.value)
