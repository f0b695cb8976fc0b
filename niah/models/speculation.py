"""Speculative decoding: how tokens are drafted ahead of the model, by the names of vLLM's ``speculative_config``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from niah import limits
from niah.errors import NiahError
from niah.limits import free_text, limited, one_of

METHODS = {
    "none": (),
    "ngram": ("num_speculative_tokens", "prompt_lookup_max", "prompt_lookup_min"),
    "mtp": ("num_speculative_tokens",),
    "eagle": ("num_speculative_tokens", "model"),
    "eagle3": ("num_speculative_tokens", "model"),
    "draft_model": ("num_speculative_tokens", "model"),
}
"""What drafts, with the settings that it takes: nothing, the prompt's own n-grams, the model's own layers for more
tokens than the next, a head trained on the model's states (two versions), a smaller model."""


@dataclass(frozen=True)
class Speculation:
    """``method`` is one of METHODS. ``num_speculative_tokens`` are drafted at a time and checked by the model in one
    step; those up to the first that it would not have written are taken, and one token of its own.

    ``prompt_lookup_max`` and ``prompt_lookup_min`` are the longest and the shortest n-gram that is looked for in the
    text so far (ngram). ``model`` is what drafts: a folder, a .gguf file or a Hugging Face id (eagle, eagle3,
    draft_model). ``also`` holds further ones, each by name, method and settings: the same prompts are run under each
    (``spec=[none,ngram]``).
    """

    name: str = "none"
    method: str = one_of(*METHODS)
    num_speculative_tokens: int = limited(0, at_least=0)
    prompt_lookup_max: int = limited(0, at_least=0)
    prompt_lookup_min: int = limited(0, at_least=0)
    model: str = free_text("")
    also: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits.check(self, "spec")
        where, taken = f"spec={self.name}", METHODS[self.method]
        if "model" in taken and not self.model:
            raise NiahError(
                f"spec.model: not given; {where} drafts with a model of its own; expected its folder or Hugging Face "
                "id, as spec.model=PATH"
            )
        if self.model.startswith("package:") or "://" in self.model:
            raise NiahError(f"spec.model: got {self.model!r}; expected a folder, a .gguf file or a Hugging Face id")
        if taken and not self.num_speculative_tokens:
            raise NiahError("spec.num_speculative_tokens: got 0; expected at least 1, or spec=none")
        if "prompt_lookup_max" in taken and not 1 <= self.prompt_lookup_min <= self.prompt_lookup_max:
            raise NiahError(
                f"spec.prompt_lookup_min: got {self.prompt_lookup_min} with prompt_lookup_max={self.prompt_lookup_max};"
                " expected 1 or more, and no more than that"
            )
        if unused := sorted(key for key in self._own() if key not in taken):
            raise NiahError(
                f"spec.{unused[0]}: {where} (method {self.method}) takes "
                f"{', '.join(taken) or 'no settings'}; got {getattr(self, unused[0])!r}; leave it out"
            )
        names = [one.name for one in self.each()]
        if twice := {name for name in names if names.count(name) > 1}:
            named = ", ".join(sorted(twice))
            raise NiahError(f"spec: {named} is named twice; expected each once, as spec=[none,ngram]")

    @property
    def is_on(self) -> bool:
        """Whether anything is drafted."""
        return self.method != "none"

    def each(self) -> list["Speculation"]:
        """This one and those of ``also``, each alone. Raises NiahError for an entry that is none."""
        return [Speculation(**self.plain()) if self.also else self, *map(_of, self.also)]

    def plain(self) -> dict[str, Any]:
        """Name, method and the settings that the method takes, as plain data."""
        return {"name": self.name, "method": self.method, **self._own()}

    def arguments(self, path: str) -> dict[str, Any]:
        """vLLM's ``speculative_config``; ``path`` is what it loads the draft model from, empty without one."""
        own = {key: getattr(self, key) for key in METHODS[self.method]}
        return {"method": self.method, **own, **({"model": path} if path else {})}

    def __str__(self) -> str:
        """For a title: ngram of 5 tokens."""
        return f"{self.name} of {self.num_speculative_tokens} tokens" if self.is_on else self.name

    def _own(self) -> dict[str, Any]:
        """Settings of a method that are not at nothing."""
        known = dict.fromkeys(key for taken in METHODS.values() for key in taken)
        return {key: value for key in known if (value := getattr(self, key))}


def _of(node: Mapping[str, Any]) -> Speculation:
    """An entry of ``also``, whose numbers may be text as a command gives it."""
    kinds: dict[str, type] = {one.name: type(one.default) for one in fields(Speculation) if one.name != "also"}
    wrong = [key for key, value in node.items() if key not in kinds or not isinstance(value, kinds[key] | str)]
    if wrong or not {"name", "method"} <= {*node}:
        raise NiahError(
            f"spec.also: got {dict(node)}; expected name, method and its settings, as "
            "{name: mtp, method: mtp, num_speculative_tokens: 1}"
        )
    try:
        return Speculation(**{key: kinds[key](value) for key, value in node.items()})
    except ValueError as error:
        raise NiahError(f"spec.also: got {dict(node)}; expected whole numbers of tokens") from error


NONE = Speculation()
