"""Facts of the form "the special magic number for KEY is VALUE": the base of four tasks.

The key-value needles of RULER (Hsieh et al. 2024, arXiv:2404.06654, section 3 and niah.py): number of
keys, of values per key and of keys asked for, kind of key and value.
"""

from dataclasses import dataclass, replace

import numpy as np

from niah.errors import NiahError
from niah.limits import free_text, limited, one_of
from niah.records import Problem
from niah.tasks import Surroundings, Task, draws

_TOKENS = {"word": (32, 16), "number": (32, 16), "uuid": (64, 48)}
"""Answer budget: for one value, for each further one."""


@dataclass(frozen=True, kw_only=True)
class Keyed(Task):
    """``answer`` is number (7 digits), word or uuid; ``key_kind`` city, pair (adjective-noun) or uuid.

    Empty ``needle``, ``question`` and ``answer_prefix`` take the language's own phrases; given ones may
    use {key} ({keys}: all asked for; {serial_keys}: so with a comma before the last), {value}, {answer} and {answers}.
    Keys that are not asked for are
    distractors.
    """

    answer: str = one_of(*draws.ANSWERS)
    key_kind: str = one_of(*draws.KEYS)
    num_keys: int = limited(1, at_least=1, at_most=100_000)
    num_values: int = limited(1, at_least=1, at_most=100_000)
    num_queries: int = limited(1, at_least=1, at_most=100_000)
    needle: str = free_text("")
    question: str = free_text("")
    answer_prefix: str = free_text("")

    unshared = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_queries > self.num_keys:
            raise NiahError(
                f"task.num_queries: got {self.num_queries} of {self.num_keys} keys (task.num_keys); expected at most "
                "those"
            )
        self._check_needle()

    def _check_needle(self) -> None:
        if self.needle and "{value}" not in self.needle:
            raise NiahError(f"task.needle: does not hold the answer; got {self.needle!r}; expected {{value}} in it")

    @property
    def answer_tokens(self) -> int:
        first, further = _TOKENS[self.answer]
        return self.max_tokens or first + further * (self.num_values * self.num_queries - 1)

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        phrases = self.phrases(haystack)
        keys = self.keys(rng, phrases, haystack, self.num_keys)
        count = self.num_queries * self.num_values
        targets = self.values(rng, phrases, haystack, count)
        others = draws.distinct(
            lambda: draws.value(rng, self.answer, phrases["words"]), len(keys) * self.num_values - count,
            f"task.answer={self.answer}", targets,
        )
        return self.worded(phrases, keys, [*targets, *others], targets, others)

    def shared(self, rng: np.random.Generator, haystack: Surroundings, num: int) -> list[Problem]:
        """A key for each problem; further ones of ``num_keys`` stand beside the first, and are asked by none."""
        if self.num_queries > 1:
            raise NiahError(
                "ctx.share: a question for several keys (task.num_queries) has no depth of its own; expected "
                "ctx.share=none, or task.num_queries=1"
            )
        for name, text in (("needle", self.needle), ("question", self.question)):
            if text and not any(mark in text for mark in ("{key}", "{keys}", "{serial_keys}")):
                raise NiahError(
                    f"task.{name}: without {{key}} all needles of a shared context would be one; got {text!r}; "
                    "expected {key} in it, or ctx.share=none"
                )
        phrases = self.phrases(haystack)
        count = max(num, self.num_keys)
        keys = self.keys(rng, phrases, haystack, count)
        values = self.values(rng, phrases, haystack, count * self.num_values)
        of_key = [values[start : start + self.num_values] for start in range(0, len(values), self.num_values)]
        problems = [self.worded(phrases, [key], own, own, []) for key, own in zip(keys[:num], of_key, strict=False)]
        if others := keys[num:]:
            first, more = problems[0], values[num * self.num_values :]
            needles = self.worded(phrases, others, more, more, []).needles
            problems[0] = replace(first, needles=(*first.needles, *needles), distractors=tuple(more))
        return problems

    def keys(self, rng: np.random.Generator, phrases: dict, haystack: Surroundings, count: int) -> list[str]:
        """Different keys. Cities may be mentioned in the haystack; made-up keys stand for the fact alone."""
        what, kind = f"task.num_keys={count}", self.key_kind

        def draw() -> str:
            return draws.key(rng, kind, phrases["keys"])

        if kind == "city":
            return draws.distinct(draw, count, what)
        return draws.unseen(draw, count, haystack, what)

    def values(self, rng: np.random.Generator, phrases: dict, haystack: Surroundings, count: int) -> list[str]:
        return draws.unseen(
            lambda: draws.value(rng, self.answer, phrases["words"]), count, haystack, f"task.answer={self.answer}"
        )

    def worded(
        self, phrases: dict, keys: list[str], values: list[str], targets: list[str], distractors: list[str]
    ) -> Problem:
        """The problem in words; ``values`` belong to the keys in turn, ``num_values`` to each."""
        own = phrases["keyed"][self.answer]
        form = "_keys" if self.num_queries > 1 else "_values" if self.num_values > 1 else ""
        asked = keys[: self.num_queries]
        names = {
            "answer": self.answer, "answers": f"{self.answer}s", "key": asked[0], "keys": draws.listed(asked, phrases),
            "serial_keys": draws.serial(asked),
        }
        needles = [
            draws.filled(self.needle or own["needle"], **{**names, "key": keys[number // self.num_values]}, value=value)
            for number, value in enumerate(values)
        ]
        return Problem(
            needles=tuple(needles),
            question=draws.filled(self.question or own[f"question{form}"], **names),
            targets=tuple(targets),
            answer_prefix=draws.filled(self.answer_prefix or own[f"prefix{form}"], **names),
            distractors=tuple(distractors),
            num_needed=len(targets),
        )
