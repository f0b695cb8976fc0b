"""What was left without an answer by a verb that chooses its trials itself: exit code 5."""

from collections.abc import Sequence

from niah.errors import UnansweredError
from niah.records import RETRIED
from niah.runs.runner import Summary


def check(summaries: Sequence[Summary]) -> None:
    """Raises UnansweredError for trials without an answer, and for an engine that was given up."""
    if left := [f"{one.folder}: {'; '.join(found)}" for one in summaries if (found := _left(one))]:
        raise UnansweredError(f"{'; '.join(left)}; the same command asks again what it still needs")


def _left(summary: Summary) -> list[str]:
    found = [summary.stopped] if summary.stopped else []
    if failed := [row for row in summary.asked if row.outcome in RETRIED]:
        found.append(
            f"{len(failed)} of {len(summary.asked)} trials ended without an answer (trial {failed[0].trial}: "
            f"{failed[0].error})"
        )
    return found
