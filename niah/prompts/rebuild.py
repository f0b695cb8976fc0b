"""Makes the prompt of a stored row again and proves that it is the one that was sent."""

from typing import Any

from niah.errors import NiahError
from niah.prompts.recipe import Built, Recipe
from niah.readers.full import Full
from niah.records import Row


def built(path: str, content: dict[str, Any], recipe: Recipe, row: Row) -> Built:
    """The row's prompt from its recipe. ``content`` is run.json. Raises NiahError where its sha256 is another."""
    made = recipe.build(recipe.trials[row.trial], Full() if row.route == "long" else None)
    if made.prompt.sha256 != row.prompt_sha256:
        changed = [
            name for name in ("haystack", "tokenizer")
            if content["sources"][f"{name}_sha256"] != recipe.sources()[f"{name}_sha256"]
        ]
        raise NiahError(
            f"{path}: trial {row.trial} cannot be rebuilt: "
            f"{' and '.join(changed) + ' changed since' if changed else 'this version builds another prompt'}; "
            f"got sha256 {made.prompt.sha256[:16]}, expected {row.prompt_sha256[:16]}"
        )
    return made
