"""Stored responses judged again by the rules of this version: no engine, no tokenizer, no haystack."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from niah import config, scorers
from niah.errors import NiahError
from niah.records import Outcome, Problem, Row, RunRecord
from niah.scorers import Scorer
from niah.scorers.outcome import judge


def note(record: RunRecord, rows: Sequence[Row], path: str) -> tuple[str, bool]:
    """What to say of a run that earlier rules judged, empty where today's find the same; and whether scores differ."""
    if record.scorer_version >= scorers.VERSION or not record.config.get("scorer"):
        return "", False
    try:
        found = rescored(record, rows)
    except NiahError:  # a scorer of the user's own, whose rules are not ours
        return "", False
    if not found.changed:
        return "", False
    return (
        f"the scorer changed since this run (rules {record.scorer_version}, now {scorers.VERSION}): it would judge "
        f"otherwise {found.sentence()}; niah rescore {path} does so and keeps the old scores"
    ), found.num_scores > 0


@dataclass(frozen=True)
class Rescored:
    """A run's ``rows`` as they are judged now, in their order; ``changed`` are (before, now) of those that differ."""

    rows: list[Row]
    changed: list[tuple[Row, Row]]

    @property
    def num_scores(self) -> int:
        """Rows that differ in their score, not in the kind of a miss alone."""
        return sum(before.score != now.score for before, now in self.changed)

    def sentence(self) -> str:
        """What differs, in words; empty where nothing does."""
        if not self.changed:
            return ""
        kinds = Counter(f"{before.outcome} is now {now.outcome}" for before, now in self.changed)
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return f"{len(self.changed)} of {len(self.rows)} rows, {self.num_scores} of them in their score ({named})"


def rescored(record: RunRecord, rows: Sequence[Row]) -> Rescored:
    """The rows judged again. What has no response, or no targets in its row, stays as it is.

    Raises NiahError where the run's scorer is a plug-in that is not offered.

    A row's ``scored_before`` is how it was first judged, gone where it is judged so again.
    """
    scorer = config.scorer_of(record.config)
    now = [judged(row, scorer, version=record.scorer_version) for row in rows]
    return Rescored(now, [(old, new) for old, new in zip(rows, now, strict=True) if old is not new])


def rescored_sha256(rows: Sequence[Row]) -> str:
    """Of the rows that ``rescore`` has judged otherwise than at first, and how; empty where there is none. What was
    proven of other judgements holds no longer."""
    changed = sorted(f"{row.variant} {row.trial} {row.score} {row.outcome}" for row in rows if row.scored_before)
    return sha256("\n".join(changed).encode()).hexdigest() if changed else ""


def judged(row: Row, scorer: Scorer, question: str = "", *, version: int = 1) -> Row:
    """The row as it is judged now, itself where that is no other judgement. ``version`` is that of the rules before."""
    if not row.is_answered or not row.response or not row.targets:
        return row
    problem = Problem(
        (), question or row.question, tuple(row.targets), distractors=tuple(row.distractors), scorer=row.scorer
    )
    score, outcome = judge(
        row.response, problem, scorer, row.finish_reason, in_thinking=row.ended_in == "thinking"
    )
    if (score.value, outcome.value) == (row.score, row.outcome):
        return row  # what was named, or how it is written down, is no other judgement
    before: dict[str, Any] = row.scored_before or {
        "score": row.score, "outcome": row.outcome, "answer": row.answer, "version": version,
    }
    if (score.value, outcome.value) == (before["score"], before["outcome"]):
        return replace(row, score=before["score"], outcome=before["outcome"], answer=before["answer"],
                       ended_in=_ended_in(row, outcome), scored_before=None, beside=dict(score.beside))
    return replace(
        row, score=score.value, outcome=outcome.value, answer=score.answer, ended_in=_ended_in(row, outcome),
        scored_before=before, beside=dict(score.beside),
    )


def _ended_in(row: Row, outcome: Outcome) -> str:
    return (row.ended_in or "answer") if outcome is Outcome.TRUNCATED else ""
