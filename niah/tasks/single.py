"""One fact in the haystack, one question for it.

The test of Kamradt (github.com/gkamradt/LLMTest_NeedleInAHaystack, 2023) with the synthetic
key-value needles of RULER's niah_single (Hsieh et al. 2024, arXiv:2404.06654, section 3). Deviates
from RULER: nothing before the context announces the needle (experiment/ruler does), and values are
looked up in the whole source, not in one context.
"""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.limits import free_text
from niah.records import Problem
from niah.tasks import Surroundings, draws
from niah.tasks.keyed import Keyed


@dataclass(frozen=True, kw_only=True)
class Single(Keyed):
    """``key`` and ``value`` fix what is else drawn; a fixed value may simply be a part of ``needle``."""

    name: str = "single"
    key: str = free_text("")
    value: str = free_text("")

    def _check_needle(self) -> None:
        if self.num_keys * self.num_values * self.num_queries > 1:
            raise NiahError("task.num_keys: more than one fact; expected task=multikey, multivalue or multiquery")
        if self.needle and "{value}" not in self.needle and not (self.value and self.value in self.needle):
            raise NiahError(
                f"task.needle: does not hold the answer; got {self.needle!r}; expected {{value}} in it, "
                "or task.value to be a part of it"
            )

    def shared(self, rng: np.random.Generator, haystack: Surroundings, num: int) -> list[Problem]:
        for name, fixed in (("key", self.key), ("value", self.value)):
            if fixed and num > 1:
                raise NiahError(
                    f"task.{name}: got {fixed!r} for all {num} needles of a shared context; expected it empty, so that "
                    "each has its own, or ctx.share=none"
                )
        return super().shared(rng, haystack, num)

    def keys(self, rng: np.random.Generator, phrases: dict, haystack: Surroundings, count: int) -> list[str]:
        return [self.key] if self.key else super().keys(rng, phrases, haystack, count)

    def values(self, rng: np.random.Generator, phrases: dict, haystack: Surroundings, count: int) -> list[str]:
        if self.value:
            return [draws.given(self.value, haystack, "task.value")]
        return super().values(rng, phrases, haystack, count)
