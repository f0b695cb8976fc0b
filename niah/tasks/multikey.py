"""One fact among others that look like it: only its key is another.

RULER's niah_multikey (Hsieh et al. 2024, arXiv:2404.06654, section 3). With haystack=distractors the
whole haystack is made of such facts (its settings 2 and 3).
"""

from dataclasses import dataclass

from niah.limits import limited
from niah.tasks.keyed import Keyed


@dataclass(frozen=True, kw_only=True)
class MultiKey(Keyed):
    """The fact asked for stands at the cell's depth, the other ``num_keys`` - 1 by ``placement``."""

    name: str = "multikey"
    num_keys: int = limited(4, at_least=1, at_most=100_000)
