"""What was answered, and when that is a failure: alone, or beside another answer to the same prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from niah import secrets
from niah.prompts.recipe import Recipe
from niah.records import Completion, Failure, Problem
from niah.scorers.outcome import judge

WRONG, SCORE, LOGPROB, TEXT = "wrong", "score", "logprob", "text"
"""What a failure is: a wrong answer; one where the other side is right; another log-probability of the right answer;
another answer."""


@dataclass(frozen=True)
class Answer:
    """``score`` is None where there is none: ``error`` says why. ``logprob`` (nats) is the right answer's, where it was
    asked for."""

    text: str
    outcome: str
    score: float | None
    logprob: float | None = None
    num_cached_tokens: int | None = None
    seconds: float = 0.0
    error: str = ""

    @property
    def plain(self) -> dict[str, Any]:
        """As a line of probes.jsonl has it, without secrets."""
        safe = {"text": secrets.without_values(self.text), "outcome": self.outcome, "score": self.score}
        rest = {
            "logprob": self.logprob, "num_cached_tokens": self.num_cached_tokens, "seconds": round(self.seconds, 4),
            "error": secrets.masked(self.error),
        }
        return {**safe, **{name: value for name, value in rest.items() if value not in (None, "")}}


@dataclass(frozen=True)
class Judge:
    """Makes answers of what an engine returned for prompts of one trial."""

    recipe: Recipe
    problem: Problem

    def answer(self, result: Completion | Failure) -> Answer:
        if isinstance(result, Failure):
            return Answer("", result.outcome.value, None, seconds=result.seconds, error=result.message)
        score, outcome = judge(
            result.text, self.problem, self.recipe.run.scorer, result.finish_reason,
            in_thinking=result.ended_in_thinking,
        )
        logprob = None if result.grade is None else round(result.grade.logprob, 6)
        return Answer(result.text, outcome.value, score.value, logprob, result.num_cached_tokens, result.seconds)


@dataclass(frozen=True)
class Criterion:
    """When a prompt fails: ``kind`` as above; ``tolerance`` in nats, for LOGPROB."""

    kind: str
    tolerance: float = 0.0

    def fails(self, first: Answer, second: Answer | None) -> bool:
        """An engine's failure is no answer: it does not count."""
        if first.score is None or (second is not None and second.score is None):
            return False
        if self.kind == WRONG or second is None:
            return first.score < 1
        if self.kind == SCORE:
            return first.score < 1 and (second.score or 0.0) >= 1
        if self.kind == LOGPROB:
            return (shift := shift_of(first, second)) is not None and abs(shift) > self.tolerance
        return first.text != second.text

    def words(self, first: Answer, second: Answer | None) -> str:
        """What is wrong, for a person."""
        if self.kind == LOGPROB and second is not None and (shift := shift_of(first, second)) is not None:
            return f"the right answer's log-probability is {shift:+.3f} nats (tolerance {self.tolerance:.3g})"
        return f"{first.outcome}" + (f", {second.outcome} on the other side" if second is not None else "")


def shift_of(first: Answer, second: Answer) -> float | None:
    """How much more log-probability the first side gave the right answer, in nats; None where that is not known."""
    return None if first.logprob is None or second.logprob is None else first.logprob - second.logprob


def criterion_of(first: Sequence[Answer], second: Sequence[Answer], tolerance: float | None) -> Criterion | None:
    """What fails each time that both were asked, the plainest first; None where nothing does. Without ``tolerance``
    log-probabilities are not looked at."""
    pairs = list(zip(first, second, strict=True))
    for kind in (SCORE, LOGPROB, TEXT):
        found = Criterion(kind, tolerance or 0.0)
        is_weighed = tolerance is not None and any(shift_of(*pair) is not None for pair in pairs)
        if (kind == LOGPROB and tolerance is None) or (kind == TEXT and is_weighed):
            continue  # words may part in a near-tie; the log-probability says whether that means anything
        if all(found.fails(*pair) for pair in pairs):
            return found
    return None


def pair_of(found: Mapping[str, Any]) -> tuple[Answer, Answer | None]:
    """The answers of both sides as a line of probes.jsonl has them."""
    second = found.get("second")
    return Answer(**found["first"]), Answer(**second) if second else None
