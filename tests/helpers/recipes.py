"""Recipes of a task on a real tokenizer, without a command for each: configuration and tokenizer are read once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from niah.config import Run
from niah.prompts.recipe import Recipe
from niah.tasks import Task
from tests.helpers.configs import built

MODELS = {"smollm2": "smollm2_135m", "llama4": "scout", "gemma3": "gemma3_270m"}


@cache
def _base(model: str) -> Recipe:
    made = Recipe(built(f"model={MODELS[model]}", "model.max_length=128k"))
    made.tokenizer  # noqa: B018 - read here, once
    return made


def recipe(
    task: Task, lengths: Sequence[int], depths: Sequence[float] = (0, 50, 100), *, model: str = "smollm2",
    repeats: int = 1,
) -> Recipe:
    """Over the default haystack, where the task reads one."""
    base = _base(model)
    run: Run = base.run
    ctx = replace(run.ctx, lengths=list(lengths), depths=list(depths), repeats=repeats)
    made = Recipe(replace(run, task=task, scorer=task.scorer, ctx=ctx))
    made.__dict__.update({name: base.__dict__[name] for name in ("files", "tokenizer") if name in base.__dict__})
    return made
