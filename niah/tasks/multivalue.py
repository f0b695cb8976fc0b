"""Several values of one key, all of them asked for.

RULER's niah_multivalue (Hsieh et al. 2024, arXiv:2404.06654, section 3). The score is the share of the
values in the answer.
"""

from dataclasses import dataclass

from niah.limits import limited
from niah.tasks.keyed import Keyed


@dataclass(frozen=True, kw_only=True)
class MultiValue(Keyed):
    """The first value stands at the cell's depth, the others by ``placement``."""

    name: str = "multivalue"
    num_values: int = limited(4, at_least=1, at_most=100_000)
