"""One fact in the haystack, one question for it.

The test of Kamradt (github.com/gkamradt/LLMTest_NeedleInAHaystack, 2023) with the synthetic
key-value needles of RULER's niah_single (Hsieh et al. 2024, arXiv:2404.06654, section 3). Deviates
from RULER: the needle's key is also its only key, nothing before the context announces the needle,
and values are looked up in the whole source, not in one context.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.records import Problem
from niah.tasks.words import KEYS, WORDS

_BUDGET = {"word": 32, "number": 32, "uuid": 64}
_TRIES = 1000


@dataclass(frozen=True)
class Single:
    """``answer`` is number (7 digits), word or uuid. ``key`` and ``value`` fix what is else drawn.

    ``needle``, ``question`` and ``answer_prefix`` may use {key}, {value} and {answer}.
    ``max_tokens`` 0 takes 32 (word, number) or 64 (uuid).
    """

    name: str = "single"
    answer: str = "number"
    max_tokens: int = 0
    template: str = "{context}\n\n{question}"
    needle: str = "The special magic {answer} for {key} is {value}."
    question: str = "What is the special magic {answer} for {key}?"
    answer_prefix: str = "The special magic {answer} for {key} is"
    key: str = ""
    value: str = ""

    def __post_init__(self) -> None:
        if self.answer not in _BUDGET:
            raise NiahError(f"task.answer: unknown kind; got {self.answer!r}; expected one of {', '.join(_BUDGET)}")
        if "{value}" not in self.needle and not (self.value and self.value in self.needle):
            raise NiahError(
                f"task.needle: does not hold the answer; got {self.needle!r}; expected {{value}} in it, "
                "or task.value to be a part of it"
            )
        if self.template.count("{context}") != 1 or "{question}" not in self.template:
            raise NiahError(
                f"task.template: got {self.template!r}; expected {{context}} once and {{question}}"
            )

    @property
    def answer_tokens(self) -> int:
        return self.max_tokens or _BUDGET[self.answer]

    def problem(self, rng: np.random.Generator, in_haystack: Callable[[str], bool]) -> Problem:
        key = self.key or str(rng.choice(KEYS))
        if self.value:
            if in_haystack(self.value):
                raise NiahError(
                    f"task.value: the haystack already holds {self.value!r}, so finding it proves nothing; "
                    "take another value or haystack"
                )
            return self._problem(key, self.value)
        for _ in range(_TRIES):
            value = self._draw(rng)
            if not in_haystack(value):
                return self._problem(key, value)
        raise NiahError(
            f"task.answer={self.answer}: {_TRIES} drawn answers all occur in the haystack; "
            "use task.answer=uuid"
        )

    def _draw(self, rng: np.random.Generator) -> str:
        if self.answer == "word":
            return str(rng.choice(WORDS))
        if self.answer == "number":
            return str(int(rng.integers(1_000_000, 10_000_000)))
        return str(uuid.UUID(bytes=rng.bytes(16), version=4))

    def _problem(self, key: str, value: str) -> Problem:
        def fill(text: str) -> str:
            return text.replace("{answer}", self.answer).replace("{key}", key).replace("{value}", value)

        return Problem((fill(self.needle),), fill(self.question), (value,), fill(self.answer_prefix))
