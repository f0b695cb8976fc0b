"""What a reader that chooses between retrieved text and the whole context chose, and what it saved."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Row


@dataclass(frozen=True)
class Routes:
    """``answerable``: share of ``n`` answers that retrieved text was enough for. ``tokens``: those read in all steps,
    as a share of what the whole contexts have. NaN without answers."""

    answerable: float
    tokens: float
    n: int


def shares(rows: Sequence[Row], answer_tokens: int) -> Routes:
    """The two figures of Self-Route (Li et al. 2024, table 1)."""
    chosen = [row for row in rows if row.route and row.is_answered]
    if not chosen:
        return Routes(float("nan"), float("nan"), 0)
    whole = sum(row.length - answer_tokens for row in chosen)
    read = sum(row.num_prompt_tokens for row in chosen)
    return Routes(sum(row.route == "rag" for row in chosen) / len(chosen), read / whole, len(chosen))
