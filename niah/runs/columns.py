"""Rows as numpy arrays: what statistics over many rows work on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from typing import Any

import numpy as np

from niah.records import Outcome, Row

_NAMES = ("trial", "length", "depth", "repeat", "score", "outcome", "answer", "prompt_sha256", "model", "task")
_REQUIRED = itemgetter(*_NAMES)
_KINDS: dict[str, type] = {
    **dict.fromkeys(("trial", "length", "repeat"), np.int64),
    **dict.fromkeys(("depth", "score", "logprob"), np.float64),
}
"""Of the arrays that are no texts."""
_ANSWERS = frozenset(outcome.value for outcome in Outcome if outcome.is_answer)


@dataclass(frozen=True)
class Columns:
    """One array a field of ``Row``, shape (rows,), in the order of the file.

    ``score`` is float64 in [0, 1], NaN where the trial has no answer; ``logprob`` is in nats, NaN where it was not
    measured. Texts are object arrays.
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
    """The same rows as arrays."""
    return of_dicts([asdict(row) for row in rows])


def of_dicts(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Rows as json gives them; fields that an older schema lacks are empty. Raises KeyError for the others.

    One row at a time, so that 100,000 parsed rows never stand in memory together.
    """
    kept = [(*_REQUIRED(row), row.get("logprob"), row.get("variant", "")) for row in rows]
    names = (*_NAMES, "logprob", "variant")
    values: Iterable[Sequence[Any]] = zip(*kept, strict=True) if kept else [()] * len(names)
    columns = dict(zip(names, values, strict=True))
    columns["score"] = [
        (score or 0.0) if outcome in _ANSWERS else np.nan
        for score, outcome in zip(columns["score"], columns["outcome"], strict=True)
    ]
    columns["logprob"] = [np.nan if value is None else value for value in columns["logprob"]]
    return Columns(**{name: _array(columns[name], _KINDS.get(name, object)) for name in columns})


def _array(values: Sequence[Any], kind: type) -> np.ndarray:
    if kind is not object:
        return np.array(values, dtype=kind)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
