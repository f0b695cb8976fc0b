"""How much of a failing trial is kept: what a reduction makes smaller."""

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Shape:
    """Tokens that are kept of each part of a prompt.

    ``gaps`` are the filler before the first needle, between needles and behind the last; ``head`` are the first tokens
    of what stands before the context, ``tail`` the last ones of what stands behind it. ``is_plain``: the filler is one
    line, again and again, not the trial's own text. ``earlier`` are the first tokens of each request that is asked
    before, in their order; 0 leaves it out.
    """

    gaps: tuple[int, ...]
    head: int
    tail: int
    max_tokens: int
    is_plain: bool = False
    earlier: tuple[int, ...] = ()

    def with_gap(self, number: int, size: int) -> "Shape":
        return replace(self, gaps=(*self.gaps[:number], size, *self.gaps[number + 1 :]))

    def with_earlier(self, number: int, size: int) -> "Shape":
        return replace(self, earlier=(*self.earlier[:number], size, *self.earlier[number + 1 :]))

    @property
    def num_earlier(self) -> int:
        return sum(size > 0 for size in self.earlier)

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
