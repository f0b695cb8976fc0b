"""How many drafted tokens a model took: speculative decoding's mean acceptance length, over all and by context length.

As vLLM defines it: 1 + accepted tokens / steps in which a draft was checked, so that each such step counts the token
that the model adds itself. Steps without a draft are none of them. It is a ratio of sums: a long answer weighs more.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from niah.records import Row

Counts = tuple[int, int | None, int | None, int | None]
"""Length, then Row's num_drafts, num_draft_tokens and num_accepted_tokens; None where they are not known."""


@dataclass(frozen=True)
class Acceptance:
    """Sums over ``num_answers`` whose drafts are known."""

    num_answers: int = 0
    num_drafts: int = 0
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0

    @property
    def mean_length(self) -> float | None:
        """Tokens a step with a draft; None where there was no draft."""
        return 1 + self.num_accepted_tokens / self.num_drafts if self.num_drafts else None

    @property
    def rate(self) -> float | None:
        """Share of the proposed tokens that were accepted; None where there was none."""
        return self.num_accepted_tokens / self.num_draft_tokens if self.num_draft_tokens else None

    def __str__(self) -> str:
        """For a table: "3.42 (48% of 120)"; a dash without drafts."""
        if self.mean_length is None or self.rate is None:
            return "-"
        return f"{self.mean_length:.2f} ({self.rate:.0%} of {self.num_draft_tokens:,})"


def of_rows(rows: Iterable[Row]) -> list[Counts]:
    """What these functions count, of rows."""
    return [(row.length, row.num_drafts, row.num_draft_tokens, row.num_accepted_tokens) for row in rows]


def by_length(counts: Iterable[Counts]) -> dict[int, Acceptance]:
    """By context length, ascending; empty where nothing was drafted or nobody told."""
    sums: dict[int, list[int]] = {}
    for length, steps, proposed, accepted in counts:
        if steps is None or proposed is None or accepted is None:
            continue
        one = sums.setdefault(length, [0, 0, 0, 0])
        for place, number in enumerate((1, steps, proposed, accepted)):
            one[place] += number
    return {length: Acceptance(*sums[length]) for length in sorted(sums)}


def together(lengths: Iterable[Acceptance]) -> Acceptance | None:
    """Of all lengths; None where there is none."""
    found = list(lengths)
    if not found:
        return None
    return Acceptance(
        sum(one.num_answers for one in found), sum(one.num_drafts for one in found),
        sum(one.num_draft_tokens for one in found), sum(one.num_accepted_tokens for one in found),
    )
