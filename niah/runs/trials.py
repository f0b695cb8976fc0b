"""Sends trials to an open engine; a reader that may read twice gets its second prompt here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from niah.engines import Session
from niah.errors import NiahError
from niah.prompts.recipe import Built, Recipe
from niah.readers import Reader
from niah.records import Completion, Failure, Prompt, Retrieval, Trial


@dataclass(frozen=True)
class Answered:
    """A trial's last result. Its tokens and seconds are those of all its steps; ``built`` is that of the last.

    ``num_sent`` are the prompt tokens as we count them, ``num_read`` as the engine does: they differ only where it
    tokenises text itself (``Session.counts_exactly``). ``route`` is rag or long where the reader chooses between them, else empty.
    """

    trial: Trial
    built: Built
    result: Completion | Failure
    num_sent: int
    num_read: int
    retrieval: Retrieval | None
    route: str = ""


def answers(session: Session, recipe: Recipe, todo: Iterable[Trial]) -> Iterator[Answered]:
    """One for each trial, in any order. Second steps come after all first ones, so that beginnings stay shared."""
    first_reader = recipe.run.reader
    second: list[tuple[Trial, Reader, Completion, Retrieval | None, int]] = []
    for trial, built, result in _sent(session, recipe, ((trial, None) for trial in todo)):
        reader = first_reader.then(result.text) if isinstance(result, Completion) else None
        sent = len(built.prompt.ids)
        if reader:
            second.append((trial, reader, result, built.view.retrieval, sent))
        else:
            route = "rag" if first_reader.may_read_twice else ""
            yield Answered(trial, built, result, sent, _read(result, sent), built.view.retrieval, route)
    firsts = {trial.index: rest for trial, _, *rest in second}
    for trial, built, result in _sent(session, recipe, ((trial, reader) for trial, reader, *_ in second)):
        first, retrieval, first_sent = firsts[trial.index]
        sent = len(built.prompt.ids)
        num_read = first.num_prompt_tokens + _read(result, sent)
        yield Answered(trial, built, _together(first, result), first_sent + sent, num_read, retrieval, "long")


def _read(result: Completion | Failure, sent: int) -> int:
    return result.num_prompt_tokens if isinstance(result, Completion) else sent


def _sent(
    session: Session, recipe: Recipe, work: Iterable[tuple[Trial, Reader | None]]
) -> Iterator[tuple[Trial, Built, Completion | Failure]]:
    in_flight: dict[int, tuple[Trial, Built]] = {}

    def prompts() -> Iterator[tuple[int, Prompt]]:
        for trial, reader in work:
            built = recipe.build(trial, reader)
            in_flight[trial.index] = (trial, built)
            yield trial.index, built.prompt

    for index, result in session.generate(prompts()):
        trial, built = in_flight.pop(index)
        if session.counts_exactly and isinstance(result, Completion) and result.num_prompt_tokens != len(built.prompt.ids):
            raise NiahError(
                f"trial {index}: the engine read {result.num_prompt_tokens} tokens of the "
                f"{len(built.prompt.ids)} sent; expected all of them; the length of this run cannot be trusted"
            )
        yield trial, built, result


def _together(first: Completion, second: Completion | Failure) -> Completion | Failure:
    """The second result with the tokens and seconds of both."""
    seconds = first.seconds + second.seconds
    if isinstance(second, Failure):
        return replace(second, seconds=seconds)
    cached = (first.num_cached_tokens, second.num_cached_tokens)
    begun = second.first_token_seconds
    return replace(
        second, seconds=seconds, num_tokens=first.num_tokens + second.num_tokens,
        num_cached_tokens=None if None in cached else sum(cached),
        first_token_seconds=None if begun is None else first.seconds + begun,
    )
