"""One trial from its prompt to its row: sent to an open engine, judged, and put down with what served it."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from niah import secrets
from niah.config import Run
from niah.engines import Session
from niah.engines.failures import MAX_IN_A_ROW
from niah.engines.reply import Door
from niah.errors import NiahError, ServiceError
from niah.grid import APART
from niah.prompts.context import sha256
from niah.prompts.recipe import Built, Recipe
from niah.readers import Reader
from niah.readers.retrieval.passages import of_row
from niah.records import Completion, Failure, Outcome, Prompt, Retrieval, Row, Trial
from niah.scorers.outcome import hangs_on_question, judge

_FEW = 0.01
"""Share of answers without a grade that is not worth a word at the end of a run."""


@dataclass(frozen=True)
class Answered:
    """A trial's last result. Its tokens and seconds are those of all its steps; ``built`` is that of the last.

    ``num_sent`` are the prompt tokens as we count them, ``num_read`` as the engine does: they differ only where it
    tokenises text itself (``Session.counts_exactly``). ``route`` is rag or long where the reader chooses between
    them, else empty.
    """

    trial: Trial
    built: Built
    result: Completion | Failure
    num_sent: int
    num_read: int
    retrieval: Retrieval | None
    route: str = ""


@dataclass(frozen=True)
class Unread:
    """A trial that was never sent: a server that its prompt is made with gave nothing, as ``message`` says."""

    trial: Trial
    message: str
    seconds: float


@dataclass(frozen=True)
class _FirstStep:
    """What a trial's first step gave, where ``then`` is the reader that it has to be asked again with."""

    trial: Trial
    then: Reader
    result: Completion
    retrieval: Retrieval | None
    num_sent: int


def answers(
    session: Session, recipe: Recipe, todo: Iterable[Trial], before: Mapping[int, Row] = MappingProxyType({})
) -> Iterator[Answered | Unread]:
    """One for each trial, in any order. Second steps come after all first ones, so that beginnings stay shared.

    ``before`` has rows of trials that were sent before, under another variant perhaps: a reader that asks a server
    shows the same again.

    Raises ServiceError where a server that prompts are made with is gone, when what was sent is answered.
    """
    first_reader = recipe.run.reader
    firsts: dict[int, _FirstStep] = {}
    work = ((trial, _reader(first_reader, before.get(trial.index))) for trial in todo)
    for sent in _sent(session, recipe, work):
        if isinstance(sent, Unread):
            yield sent
            continue
        trial, built, result = sent
        num_sent, retrieval = len(built.prompt.ids), built.view.retrieval
        if isinstance(result, Completion) and (reader := first_reader.then(result.text, built.problem.question)):
            firsts[trial.index] = _FirstStep(trial, reader, result, retrieval, num_sent)
        else:
            num_read, route = _num_read(result, num_sent), "rag" if first_reader.may_read_twice else ""
            yield Answered(trial, built, result, num_sent, num_read, retrieval, route)
    for sent in _sent(session, recipe, ((first.trial, first.then) for first in firsts.values())):
        if isinstance(sent, Unread):
            yield sent
            continue
        trial, built, result = sent
        first, num_sent = firsts[trial.index], len(built.prompt.ids)
        yield Answered(
            trial, built, _together(first.result, result), first.num_sent + num_sent,
            first.result.num_prompt_tokens + _num_read(result, num_sent), first.retrieval, "long",
        )


def _reader(reader: Reader, before: Row | None) -> Reader | None:
    return reader.recalled(before) if before else None


def unfit(settings: Run, variant: str, trial: Trial, reason: str) -> Row:
    """The row of a trial that was never sent: its length has no room on this machine."""
    return Row(
        trial=trial.index, length=trial.length, depth=trial.depth, repeat=trial.repeat,
        outcome=Outcome.DOES_NOT_FIT.value, score=None, response="", answer="", targets=[], prompt_sha256="",
        num_prompt_tokens=0, num_cached_tokens=None, num_completion_tokens=0, finish_reason="not sent",
        needle_spans=[], needle_depths=[], needles_kept=[], repeated_share=0.0, seconds=0.0, first_token_seconds=None,
        model=settings.model.name, task=settings.task.name, haystack=settings.haystack.name,
        reader=settings.reader.name, engine=settings.engine.name, kv_cache_dtype=settings.kv.dtype, error=reason,
        variant=variant, share="" if settings.ctx.share == APART else settings.ctx.share,
        spec=settings.spec.name if settings.spec.is_on else "",
        thinking_budget=settings.model.thinking_budgets[0] if settings.model.thinking_budgets else None,
    )


def unread(settings: Run, variant: str, found: Unread) -> Row:
    """The row of a trial whose prompt was not made: an error, which the same command tries again."""
    failed = unfit(settings, variant, found.trial, found.message)
    return _written(replace(failed, outcome=Outcome.ENGINE_ERROR.value, seconds=round(found.seconds, 4)))


def row(settings: Run, variant: str, answered: Answered, served: Mapping[str, Any]) -> Row:
    """The row of a trial that came back, with an answer or an engine's failure.

    ``served`` says how many prompt tokens we counted where the engine counted others.
    """
    sent, result = _sent_row(settings, variant, answered, served), answered.result
    if isinstance(result, Failure):
        failed = replace(sent, outcome=result.outcome.value, finish_reason=result.finish_reason, error=result.message)
        return _written(failed)
    score, outcome = judge(
        result.text, answered.built.problem, settings.scorer, result.finish_reason,
        in_thinking=result.ended_in_thinking,
    )
    first, grade, problem = result.first_token_seconds, result.grade, answered.built.problem
    drafts = result.drafts
    judged = replace(
        sent, outcome=outcome.value, score=score.value, response=result.text, answer=score.answer,
        num_cached_tokens=result.num_cached_tokens, num_completion_tokens=result.num_tokens,
        finish_reason=result.finish_reason, first_token_seconds=None if first is None else round(first, 4),
        thinking=result.thinking, num_thinking_tokens=result.num_thinking_tokens,
        ended_in=("thinking" if result.ended_in_thinking else "answer") if outcome is Outcome.TRUNCATED else "",
        not_graded=result.not_graded,
        question=problem.question if hangs_on_question(result.text, problem, settings.scorer) else "",
        beside=dict(score.beside), is_thinking_cut=result.is_thinking_cut,
    )
    if drafts is not None:
        judged = replace(
            judged, num_drafts=drafts.num_steps, num_draft_tokens=drafts.num_tokens,
            num_accepted_tokens=drafts.num_accepted,
        )
    if grade is None:
        return _written(judged)
    return replace(
        _written(judged), logprob=round(grade.logprob, 6), num_target_tokens=grade.num_tokens,
        worst_rank=grade.worst_rank, margin=None if grade.margin is None else round(grade.margin, 6),
    )


def _written(row: Row) -> Row:
    """The row as it may be written down: what settings took from the environment stands in it as ``${oc.env:NAME}``,
    and no key is in it."""
    safe = secrets.without_values
    return replace(
        row, error=secrets.masked(row.error), not_graded=secrets.masked(row.not_graded), response=safe(row.response),
        answer=safe(row.answer), thinking=safe(row.thinking), question=safe(row.question),
        targets=[*map(safe, row.targets)], distractors=[*map(safe, row.distractors)],
        served=secrets.scrubbed(row.served), passages=_safe(row.passages),
    )


def _safe(passages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    safe = secrets.without_values
    return [{name: safe(value) if isinstance(value, str) else value for name, value in one.items()} for one in passages]


def cut_in_thinking(rows: Sequence[Row]) -> str:
    """One sentence where answers were cut off while the model still thought; else empty."""
    num, num_answers = sum(row.ended_in == "thinking" for row in rows), sum(row.score is not None for row in rows)
    if not num:
        return ""
    return (
        f"truncated: {num:,} of {num_answers:,} answers ended while the model still thought; model.thinking_budget=2k "
        "gives it room, as part of each length"
    )


def ungraded(rows: Sequence[Row]) -> str:
    """One sentence where more than ``_FEW`` of a run's answers lack the grade they were to have; else empty."""
    lost = [row for row in rows if row.not_graded]
    num_answers = sum(row.score is not None for row in rows)
    if len(lost) <= _FEW * num_answers:
        return ""
    which = f"{lost[0].variant} trial {lost[0].trial}: " if lost[0].variant else f"trial {lost[0].trial}: "
    return (
        f"graded signal: missing in {len(lost):,} of {num_answers:,} answers; the first, {which}{lost[0].not_graded}"
    )


def _sent_row(settings: Run, variant: str, answered: Answered, served: Mapping[str, Any]) -> Row:
    """What is known of a trial that was sent, whatever came back."""
    built, found = answered.built, answered.retrieval
    other_count = {} if answered.num_read == answered.num_sent else {"num_sent_tokens": answered.num_sent}
    sent = replace(
        unfit(settings, variant, answered.trial, ""),
        targets=list(built.problem.targets),
        distractors=list(built.problem.distractors),
        prompt_sha256=built.prompt.sha256,
        needle_spans=[list(span) for span in built.prompt.spans],
        needle_depths=list(built.context.depths),
        needles_kept=list(built.view.kept),
        num_needed=built.problem.num_needed,
        question_id=built.problem.question_id,
        scorer=built.problem.scorer,
        context_sha256=sha256(built.context, built.problem),
        repeated_share=round(built.stretch.repeated_share, 6),
        num_prompt_tokens=answered.num_read,
        haystack=built.stretch.source,
        seconds=round(answered.result.seconds, 4),
        served={**served, **other_count},
        route=answered.route,
    )
    if found is None:
        return sent
    return replace(
        sent, retrieved=[list(chunk) for chunk in found.chunks], needles_retrieved=list(found.needles),
        index_seconds=round(found.index_seconds, 4), retrieval_seconds=round(found.seconds, 4),
        passages=[*map(of_row, found.passages)],
    )


def _num_read(result: Completion | Failure, num_sent: int) -> int:
    return result.num_prompt_tokens if isinstance(result, Completion) else num_sent


def _sent(
    session: Session, recipe: Recipe, work: Iterable[tuple[Trial, Reader | None]]
) -> Iterator[tuple[Trial, Built, Completion | Failure] | Unread]:
    """Each trial with its prompt and what the engine returned.

    Raises NiahError where it read another number of tokens than were sent, ServiceError where ``MAX_IN_A_ROW`` prompts
    in a row could not be made.
    """
    in_flight: dict[int, tuple[Trial, Built]] = {}
    failed: list[Unread] = []
    gone: list[ServiceError] = []

    def prompts() -> Iterator[tuple[int, Prompt]]:
        for trial, reader in work:
            begun = time.perf_counter()
            try:
                built = recipe.build(trial, reader)
            except ServiceError as error:
                failed.append(Unread(trial, str(error), time.perf_counter() - begun))
                gone.append(error)
                if len(gone) == MAX_IN_A_ROW:
                    return
                continue
            gone.clear()
            in_flight[trial.index] = (trial, built)
            yield trial.index, built.prompt

    for index, result in Door(recipe.tokenizer, recipe.delimiters).answers(session, prompts()):
        yield from _taken(failed)
        trial, built = in_flight.pop(index)
        num_sent = len(built.prompt.ids)
        if session.counts_exactly and _num_read(result, num_sent) != num_sent:
            raise NiahError(
                f"trial {index}: the engine read {_num_read(result, num_sent)} tokens of the "
                f"{num_sent} sent; expected all of them; the length of this run cannot be trusted"
            )
        yield trial, built, result
    yield from _taken(failed)
    if len(gone) == MAX_IN_A_ROW:
        raise ServiceError(f"{gone[-1]}; {MAX_IN_A_ROW} trials in a row; the same command goes on from here")


def _taken(failed: list[Unread]) -> Iterator[Unread]:
    """Those of the list, which is empty then."""
    while failed:
        yield failed.pop(0)


def _together(first: Completion, second: Completion | Failure) -> Completion | Failure:
    """The second result with the tokens and seconds of both."""
    seconds = first.seconds + second.seconds
    if isinstance(second, Failure):
        return replace(second, seconds=seconds)
    begun, is_known = second.first_token_seconds, None not in (first.num_cached_tokens, second.num_cached_tokens)
    return replace(
        second, seconds=seconds, num_tokens=first.num_tokens + second.num_tokens,
        num_thinking_tokens=first.num_thinking_tokens + second.num_thinking_tokens,
        num_cached_tokens=(first.num_cached_tokens or 0) + (second.num_cached_tokens or 0) if is_known else None,
        first_token_seconds=None if begun is None else first.seconds + begun,
        drafts=first.drafts.plus(second.drafts) if first.drafts and second.drafts else None,
    )
