"""What is planted and asked: one task, one file, one frozen dataclass of settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from niah import languages
from niah.errors import NiahError
from niah.grid import PLACEMENTS
from niah.records import Problem
from niah.scorers import Scorer
from niah.scorers.contains import Contains


class Surroundings(Protocol):
    """The haystack as a task sees it."""

    @property
    def language(self) -> str: ...

    def holding(self, texts: Sequence[str]) -> set[str]:
        """Those of the texts that occur anywhere in the source, letter case apart."""
        ...


class Task(Protocol):
    """``name`` labels rows and figures. ``template`` holds {context} once, and {question}.

    ``placement`` says where needles after the first go (plan.PLACEMENTS); ``has_depth`` is false where
    nothing is planted at a depth; ``all_targets`` whether an answer has to hold them all; ``scorer`` judges answers unless the user names another. A task that
    writes the whole context itself has a method ``fill`` (see tasks/aggregate.py) instead of ``problem``.
    """

    name: str
    template: str

    @property
    def placement(self) -> str: ...

    @property
    def has_depth(self) -> bool: ...

    @property
    def all_targets(self) -> bool: ...

    @property
    def scorer(self) -> Scorer: ...

    @property
    def answer_tokens(self) -> int:
        """Tokens the model may use for its answer; part of a trial's length."""
        ...

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        """Draws one problem whose targets do not occur in the haystack.

        Raises NiahError where the user's own needle breaks that.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What all tasks share. ``language`` auto follows the haystack's.

    ``max_tokens`` 0 takes what the task's answers need.
    """

    name: str
    template: str = "{context}\n\n{question}"
    language: str = "auto"
    max_tokens: int = 0
    placement: str = "random"

    # without annotations: properties of the task, not settings
    has_depth = True
    all_targets = True
    default_tokens = 32
    scorer = Contains()

    def __post_init__(self) -> None:
        if self.template.count("{context}") != 1 or "{question}" not in self.template:
            raise NiahError(f"task.template: got {self.template!r}; expected {{context}} once and {{question}}")
        if self.placement not in PLACEMENTS:
            raise NiahError(f"task.placement: got {self.placement!r}; expected one of {', '.join(PLACEMENTS)}")

    @property
    def answer_tokens(self) -> int:
        return self.max_tokens or self.default_tokens

    def phrases(self, haystack: Surroundings) -> dict[str, Any]:
        return languages.load(haystack.language if self.language == "auto" else self.language)
