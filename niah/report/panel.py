"""What one grid or one line of a figure shows: a run, or a variant of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from niah.records import Row, RunRecord
from niah.report import labels


@dataclass(frozen=True)
class Panel:
    """A run, or a variant of it; ``label`` says which where there are several."""

    label: str
    record: RunRecord = field(repr=False)
    rows: Sequence[Row] = field(repr=False)

    @property
    def num_answers(self) -> int:
        return sum(1 for row in self.rows if row.score is not None)


def panels(record: RunRecord, rows: Sequence[Row], label: str = "") -> list[Panel]:
    """One panel a variant, in the order in which they first appear."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.variant, []).append(row)
    if len(parts) < 2:
        return [Panel(label, record, rows)]
    return [Panel(labels.of_variant(label, name), record, part) for name, part in parts.items()]
