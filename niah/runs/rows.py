"""One row for each trial: what was sent, what came back, what served it."""

from typing import Any

from niah.config import Run
from niah.prompts.context import sha256
from niah.records import Failure, Outcome, Row, Trial
from niah.runs.trials import Answered
from niah.scorers.outcome import judge


def unfit(settings: Run, variant: str, trial: Trial, reason: str) -> Row:
    """A trial that was never sent: its length has no room on this machine."""
    return Row(
        trial=trial.index, length=trial.length, depth=trial.depth, repeat=trial.repeat, outcome=Outcome.DOES_NOT_FIT.value,
        score=None, response="", answer="", targets=[], prompt_sha256="", num_prompt_tokens=0, num_cached_tokens=None,
        num_completion_tokens=0, finish_reason="not sent", needle_spans=[], needle_depths=[], needles_kept=[],
        repeated_share=0.0, seconds=0.0, first_token_seconds=None, model=settings.model.name, task=settings.task.name,
        haystack=settings.haystack.name, reader=settings.reader.name, engine=settings.engine.name,
        kv_cache_dtype=settings.kv.dtype, error=reason, variant=variant,
    )


def finished(settings: Run, variant: str, answered: Answered, served: dict[str, Any]) -> Row:
    """A trial that came back, with an answer or an engine's failure.

    ``served`` says how many prompt tokens we counted where the engine counted others.
    """
    trial, built, result, found = answered.trial, answered.built, answered.result, answered.retrieval
    common = {
        "trial": trial.index,
        "length": trial.length,
        "depth": trial.depth,
        "repeat": trial.repeat,
        "targets": list(built.problem.targets),
        "distractors": list(built.problem.distractors),
        "prompt_sha256": built.prompt.sha256,
        "needle_spans": [list(span) for span in built.prompt.spans],
        "needle_depths": list(built.context.depths),
        "needles_kept": list(built.view.kept),
        "num_needed": built.problem.num_needed,
        "context_sha256": sha256(built.context, built.problem),
        "repeated_share": round(built.stretch.repeated_share, 6),
        "num_prompt_tokens": answered.num_read,
        "model": settings.model.name,
        "task": settings.task.name,
        "haystack": built.stretch.source,
        "reader": settings.reader.name,
        "engine": settings.engine.name,
        "kv_cache_dtype": settings.kv.dtype,
        "seconds": round(result.seconds, 4),
        "variant": variant,
        "served": served if answered.num_read == answered.num_sent else {**served, "num_sent_tokens": answered.num_sent},
        "route": answered.route,
    }
    if found:
        common |= {
            "retrieved": [list(chunk) for chunk in found.chunks],
            "needles_retrieved": list(found.needles),
            "index_seconds": round(found.index_seconds, 4),
            "retrieval_seconds": round(found.seconds, 4),
        }
    if isinstance(result, Failure):
        return Row(
            **common, outcome=result.outcome.value, score=None, response="", answer="", num_cached_tokens=None,
            num_completion_tokens=0, finish_reason="error", first_token_seconds=None, error=result.message,
        )
    score, outcome = judge(result.text, built.problem, settings.scorer, result.finish_reason)
    first, grade = result.first_token_seconds, result.grade
    graded = {} if grade is None else {
        "logprob": round(grade.logprob, 6), "num_target_tokens": grade.num_tokens, "worst_rank": grade.worst_rank,
        "margin": None if grade.margin is None else round(grade.margin, 6),
    }
    return Row(
        **common, outcome=outcome.value, score=score.value, response=result.text, answer=score.answer,
        num_cached_tokens=result.num_cached_tokens, num_completion_tokens=result.num_tokens,
        finish_reason=result.finish_reason, first_token_seconds=None if first is None else round(first, 4),
        **graded,
    )
