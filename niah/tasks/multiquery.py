"""Several facts, all of them asked for in one question.

RULER's niah_multiquery (Hsieh et al. 2024, arXiv:2404.06654, section 3). The score is the share of the
values in the answer.
"""

from dataclasses import dataclass

from niah.limits import limited
from niah.tasks.keyed import Keyed


@dataclass(frozen=True, kw_only=True)
class MultiQuery(Keyed):
    """The first fact stands at the cell's depth, the others by ``placement``."""

    name: str = "multiquery"
    num_keys: int = limited(4, at_least=1, at_most=100_000)
    num_queries: int = limited(4, at_least=1, at_most=100_000)

    unshared = "its question asks for several needles, so that no depth is its own"
