"""What two sides drafted ahead and took, beside their accuracy, and whether drafts changed an answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from niah.commands.compare.pairs import Pair, Side
from niah.report.text_table import aligned
from niah.runs.columns import Columns
from niah.stats import acceptance
from niah.stats.acceptance import Acceptance
from niah.units import format_length


def lines(pair: Pair) -> list[str]:
    """A table of the mean acceptance length, a line a length, and how many answers differ; none where neither side
    drafted."""
    found = [_by_length(side) for side in (pair.base, pair.other)]
    if not any(found):
        return []
    every = [acceptance.together(one.values()) for one in found]
    lengths = sorted({*found[0], *found[1]})
    rows = [
        ["acceptance length", pair.base.label, pair.other.label],
        *([format_length(length), *(_cell(one.get(length)) for one in found)] for length in lengths),
        *([["all", *map(_cell, every)]] if len(lengths) > 1 else []),
    ]
    widths = [-17, max(16, len(pair.base.label)), max(16, len(pair.other.label))]
    return [*aligned(rows, widths), *_answers(pair)]


def content(pair: Pair) -> dict[str, Any]:
    """For compare.json: what each side drafted (null where it did not) and how many of the pairs have another answer
    (null where there are none); nothing where neither drafted."""
    found = [_of_side(side) for side in (pair.base, pair.other)]
    if not any(found):
        return {}
    return {"drafts": found, "num_other_answers": _num_other_answers(pair)}


def _of_side(side: Side) -> dict[str, Any] | None:
    found = _by_length(side)
    every = acceptance.together(found.values())
    if every is None:
        return None
    return {
        **_plain(every), "lengths": [{"length": length, **_plain(one)} for length, one in found.items()],
    }


def _num_other_answers(pair: Pair) -> int | None:
    """Pairs whose judged answers are other texts; None where rows are not paired."""
    return int(np.count_nonzero(pair.a.answer != pair.b.answer)) if pair.is_paired else None


def _answers(pair: Pair) -> list[str]:
    """Greedy drafts that are checked change no answer, but by rounding in steps of other sizes."""
    num = _num_other_answers(pair)
    if num is None:
        return []
    if not num:
        return [f"drafts and answers: all {len(pair.a)} pairs have the same answer"]
    return [
        f"drafts and answers: {num} of {len(pair.a)} pairs have another answer; the model itself checks each draft, so "
        "that only rounding, at a near tie, may change one: more, or answers that lose, are a fault of the engine"
    ]


def _by_length(side: Side) -> dict[int, Acceptance]:
    return acceptance.by_length(_counts(side.columns))


def _counts(columns: Columns) -> Sequence[acceptance.Counts]:
    """NaN is what nobody told."""
    known = ~np.isnan(columns.num_drafts)
    values = (columns.length, columns.num_drafts, columns.num_draft_tokens, columns.num_accepted_tokens)
    return list(zip(*(one[known].astype(np.int64).tolist() for one in values), strict=True))


def _cell(found: Acceptance | None) -> str:
    return "-" if found is None else str(found)


def _plain(one: Acceptance) -> dict[str, Any]:
    return {
        "drafts": one.num_drafts, "draft_tokens": one.num_draft_tokens, "accepted_tokens": one.num_accepted_tokens,
        "mean_acceptance_length": one.mean_length,
    }
