"""Rows as numpy arrays: what statistics over many rows work on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from niah.records import Outcome, Row

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
        return ~np.isnan(self.score)

    def where(self, chosen: np.ndarray) -> "Columns":
        """The rows picked by a mask or by indices."""
        return Columns(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def variants(self) -> dict[str, "Columns"]:
        """The rows of each variant, in the order in which variants first appear."""
        names = list(dict.fromkeys(self.variant.tolist()))
        return {name: self.where(self.variant == name) for name in names} if len(names) > 1 else dict.fromkeys(names, self)


def of_rows(rows: Iterable[Row]) -> Columns:
    """The same rows as arrays."""
    return of_dicts([asdict(row) for row in rows])


def of_dicts(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Rows as json gives them; fields that an older schema lacks are empty. Raises KeyError for the others."""

    def texts(name: str, *default: str) -> np.ndarray:
        column = np.empty(len(rows), dtype=object)
        column[:] = [row.get(name, default[0]) for row in rows] if default else [row[name] for row in rows]
        return column

    def numbers(name: str, kind: type) -> np.ndarray:
        return np.array([row[name] for row in rows], dtype=kind)

    outcome = texts("outcome")
    score = [(row["score"] or 0.0) if name in _ANSWERS else np.nan for row, name in zip(rows, outcome, strict=True)]
    logprob = [np.nan if (value := row.get("logprob")) is None else value for row in rows]
    return Columns(
        trial=numbers("trial", np.int64), length=numbers("length", np.int64), depth=numbers("depth", np.float64),
        repeat=numbers("repeat", np.int64), score=np.array(score, np.float64), logprob=np.array(logprob, np.float64),
        outcome=outcome, answer=texts("answer"), prompt_sha256=texts("prompt_sha256"), model=texts("model"),
        task=texts("task"), variant=texts("variant", ""),
    )
