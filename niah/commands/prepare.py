"""The verb ``prepare``: fetches and converts the model, tokenises the haystack; starts no engine."""

from typing import Any

from niah import config as configuration
from niah.commands import hydra
from niah.prompts.recipe import Recipe
from niah.runs import packages
from niah.terminal import say


def main(words: list[str]) -> int:
    """Exit code of ``prepare WORDS``. Raises NiahError where a prompt cannot be made as asked for."""
    return hydra.run(hydra.adapted(words), _prepare)


def _prepare(config: Any) -> int:
    run = configuration.build(config)
    packages.check(run)
    recipe = Recipe(run).checked()
    for line in recipe.notes():
        say(line)
    recipe.check(without=recipe.unfit)
    say(f"model: {recipe.files.engine_path} ({recipe.files.identity})")
    if source := recipe.corpus:
        say(f"haystack: {source.haystack.name}, {source.num_tokens:,} tokens, sha256 {source.sha256}")
    return 0
