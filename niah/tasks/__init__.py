"""What is planted and asked: one task, one file, one frozen dataclass of settings."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from niah.records import Problem


class Task(Protocol):
    """``name`` labels rows and figures; ``max_tokens`` is the budget for the answer.

    ``template`` holds {context} once, and {question}.
    """

    name: str
    template: str

    @property
    def answer_tokens(self) -> int:
        """Tokens the model may use for its answer; part of a trial's length."""
        ...

    def problem(self, rng: np.random.Generator, in_haystack: Callable[[str], bool]) -> Problem:
        """Draws one problem whose targets do not occur in the haystack.

        Raises NiahError where the user's own needle breaks that.
        """
        ...
