"""Rows as numpy arrays: what statistics over many rows work on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np

from niah.records import Row

_COUNTS = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")
_NAMES = (
    "trial", "length", "depth", "repeat", "score", "logprob", "outcome", "answer", "prompt_sha256", "model", "task",
    "variant", *_COUNTS,
)
_KEPT = attrgetter(*_NAMES, "is_answered")
_KINDS: dict[str, type] = {
    **dict.fromkeys(("trial", "length", "repeat"), np.int64),
    **dict.fromkeys(("depth", "score", "logprob", *_COUNTS), np.float64),
}
"""Of the arrays that are no texts."""


@dataclass(frozen=True)
class Columns:
    """One array a field of ``Row``, shape (rows,), in the order of the file.

    ``score`` is float64 in [0, 1], NaN where the trial has no answer; ``logprob`` is in nats, NaN where it was not
    measured, as the three counts of drafts are. Texts are object arrays.
    """

    trial: np.ndarray
    length: np.ndarray
    depth: np.ndarray
    repeat: np.ndarray
    score: np.ndarray
    logprob: np.ndarray
    outcome: np.ndarray
    answer: np.ndarray
    prompt_sha256: np.ndarray
    model: np.ndarray
    task: np.ndarray
    variant: np.ndarray
    num_drafts: np.ndarray
    num_draft_tokens: np.ndarray
    num_accepted_tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.trial)

    @property
    def answered(self) -> np.ndarray:
        """Bool (rows,): the trial has an answer, right or wrong."""
        answered: np.ndarray = ~np.isnan(self.score)
        return answered

    def where(self, chosen: np.ndarray) -> "Columns":
        """The rows picked by a mask or by indices."""
        return Columns(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def variants(self) -> dict[str, "Columns"]:
        """The rows of each variant, in the order in which variants first appear."""
        names = list(dict.fromkeys(self.variant.tolist()))
        if len(names) < 2:
            return dict.fromkeys(names, self)
        return {name: self.where(self.variant == name) for name in names}


def of_rows(rows: Iterable[Row]) -> Columns:
    """The same rows as arrays, one row at a time, so that 100,000 of them need not stand in memory together."""
    kept: list[tuple[Any, ...]] = list(map(_KEPT, rows))
    *values, answered = zip(*kept, strict=True) if kept else [()] * (len(_NAMES) + 1)
    columns: dict[str, Sequence[Any]] = dict(zip(_NAMES, values, strict=True))
    columns["score"] = [
        (score or 0.0) if is_answered else np.nan for score, is_answered in zip(columns["score"], answered, strict=True)
    ]
    for name in ("logprob", *_COUNTS):
        columns[name] = [np.nan if value is None else value for value in columns[name]]
    return Columns(**{name: _array(columns[name], _KINDS.get(name, object)) for name in columns})


def _array(values: Sequence[Any], kind: type) -> np.ndarray:
    if kind is not object:
        return np.array(values, dtype=kind)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
