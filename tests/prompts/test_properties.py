"""Haystack x task x tokenizer: exact length, canonical seams, whole needles, answers nowhere else, depths kept."""

import itertools
from functools import cache

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from niah.errors import NiahError
from niah.prompts import context
from niah.prompts.recipe import Recipe
from niah.records import Trial
from niah.tokens import boundaries
from niah.tokens.splice import is_canonical
from tests.helpers.configs import built

MODELS = {
    "smollm2": ("model=smollm2_135m",),
    "gemma3": ("model=gemma3_270m",),
    "llama4": ("model=scout",),
    "qwen3_5": ("model=qwen3_5_27b",),
    "deepseek_r1": ("model=deepseek_r1",),
}
HAYSTACKS = (
    ("haystack=essays",), ("haystack=essays", "haystack.order=shuffled"), ("haystack=wikipedia",),
    ("haystack=records",), ("haystack=records", "haystack.form=jsonl"), ("haystack=noise",), ("haystack=distractors",),
    *(("haystack=generated", f"haystack.language={code}") for code in ("en", "zh-Hans", "de", "ja", "ar")),
)
TASKS = (
    ("task=single", "task.answer=uuid"), ("task=multikey", "task.num_keys=12", "task.placement=even"),
    ("task=multivalue",), ("task=multiquery", "task.placement=clustered"), ("task=chain",),
    ("task=chain", "task.form=variables", "task.num_hops=4"), ("task=latent",), ("task=conflicting",),
    ("task=count",), ("task=ordered",), ("task=absent",), ("task=absent", "task.num_decoys=2"),
    ("task=aggregate",), ("task=aggregate", "task.form=coded"), ("task=single", "task.language=zh-Hant"),
    ("task=update", "task.num_values=4"),
)
LENGTHS = (2048, 3001)


@cache
def recipe(name: str, haystack: tuple[str, ...], task: tuple[str, ...]) -> Recipe:
    words = [*MODELS[name], *haystack, *task, f"ctx.lengths={list(LENGTHS)}".replace(" ", ""), "ctx.repeats=3"]
    return Recipe(built(*words))


@pytest.mark.parametrize("name", [
    "smollm2", "llama4", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gemma3", "qwen3_5", "deepseek_r1")),
])
@given(
    haystack=st.sampled_from(HAYSTACKS), task=st.sampled_from(TASKS), length=st.sampled_from(LENGTHS),
    depth=st.sampled_from([0.0, 7.0, 33.3, 50.0, 81.0, 100.0]), repeat=st.integers(0, 2),
)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_context_is_what_it_says(name, haystack, task, length, depth, repeat):
    made = recipe(name, haystack, task)
    run, tokenizer = made.run, made.tokenizer
    try:
        found = made.build(Trial(0, length, depth if run.task.has_depth else 0.0, repeat))
    except NiahError as error:  # Wikipedia knows nearly everybody: refused, as it should be
        assert "the haystack holds too many of its names" in str(error)
        reject()
    prompt, problem = found.prompt, found.problem
    # exact length, and ids that the tokenizer itself would give
    assert len(prompt.ids) == length - run.task.answer_tokens
    assert is_canonical(tokenizer, prompt.ids)
    # spans hold the needles, whole
    shown = tokenizer.decode(prompt.ids)
    for needle, (start, stop) in zip(problem.needles, prompt.spans, strict=True):
        assert needle in tokenizer.decode(prompt.ids[start:stop])
    # answers stand in the needles and nowhere else
    if problem.needles and run.task.name not in ("count", "absent", "ordered"):
        rest = shown
        for needle in problem.needles:
            rest = rest.replace(needle, " ", 1)
        assert not [target for target in problem.targets if target.casefold() in rest.casefold()]
    # the first needle (of ordered ones: one of them) is within half a sentence of its depth
    if problem.needles:
        # (at 100% the last place before the end, or the one before where the tokenizer would join across that)
        allowed = tolerance(found, tokenizer, 2.0 if depth == 100 else 0.5) + context.SLACK + 4
        assert min(abs(got - depth) for got in found.context.depths) <= 100 * allowed / length


def tolerance(found, tokenizer, share: float) -> float:
    """``share`` of the longest distance between two places for a needle, in tokens, and the needles' own tokens."""
    ids = found.stretch.ids[: found.context.num_tokens]
    pattern = boundaries.UNITS["line" if found.stretch.by_line else "sentence"]
    encoding = tokenizer.encode(tokenizer.decode(ids))
    ends = sorted({0, *(match.end() for match in pattern.finditer(tokenizer.decode(ids)))})
    tokens = [int(encoding.starts.searchsorted(end)) for end in ends] + [len(ids)]
    longest = max(b - a for a, b in itertools.pairwise(tokens))
    planted = sum(stop - start for start, stop in found.prompt.spans)
    return share * longest + planted  # needles before this one move it: their own tokens count as depth


@pytest.mark.parametrize("task", TASKS, ids=" ".join)
def test_a_larger_grid_holds_the_trials_of_a_smaller_one(task):
    words = [*MODELS["smollm2"], "haystack=records", *task, "ctx.depths=[50]"]
    small = Recipe(built(*words, "ctx.lengths=[2k]"))
    large = Recipe(built(*words, "ctx.lengths=[2k,4k,8k]", "ctx.depths=[0,50]", "ctx.repeats=2"))
    (one,) = [trial for trial in small.trials if trial.depth in (0.0, 50.0)]
    other = next(t for t in large.trials if (t.length, t.depth, t.repeat) == (one.length, one.depth, one.repeat))
    assert small.build(one).prompt.sha256 == large.build(other).prompt.sha256
