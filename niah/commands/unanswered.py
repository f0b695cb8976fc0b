"""What was left without an answer by a verb that chooses its trials itself: exit code 5."""

from collections.abc import Sequence

from niah.errors import UnansweredError
from niah.records import RETRIED, Row
from niah.runs.runner import Summary


def check(summaries: Sequence[Summary]) -> None:
    """Raises UnansweredError for trials without an answer, and for an engine that was given up."""
    if left := [f"{one.folder}: {'; '.join(found)}" for one in summaries if (found := _left(one))]:
        raise UnansweredError(f"{'; '.join(left)}; the same command asks again what it still needs")


def _left(summary: Summary) -> list[str]:
    return [*filter(None, (summary.stopped, words(summary.asked)))]


def words(rows: Sequence[Row]) -> str:
    """How many of the trials ended without an answer, and why the first did; empty where none."""
    if not (failed := [row for row in rows if row.outcome in RETRIED]):
        return ""
    return (
        f"{len(failed)} of {len(rows)} trials ended without an answer (trial {failed[0].trial}: {failed[0].error})"
    )
