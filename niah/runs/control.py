"""The control sample: some trials asked again without prefix cache. A difference is the engine's, not the model's."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from niah import secrets
from niah.engines import Session
from niah.engines.reply import Door, apart
from niah.prompts.recipe import Recipe
from niah.records import Completion, Prompt, Row


@dataclass(frozen=True)
class Control:
    """A trial asked again: answers, and log-probabilities of the right answer, with the cache and without (cold).

    ``error`` says why there is no second answer; then ``is_same`` is None and nothing is compared.
    """

    variant: str
    trial: int
    num_cached_tokens: int | None
    is_same: bool | None
    response: str
    cold_response: str
    logprob: float | None
    cold_logprob: float | None
    error: str | None = None


def sample(rows: Sequence[Row], share: float, done: Sequence[dict[str, Any]], variant: str) -> list[Row]:
    """Rows to ask again: ``share`` of the variant's answers, one at least, among those that used the cache.

    The choice depends on the prompts alone, so that a continued run makes the same one.
    """
    own = [row for row in rows if row.variant == variant and row.score is not None]
    cached = [row for row in own if row.num_cached_tokens and row.route != "long"]  # a second step has other prompts
    if not share or not cached:
        return []
    wanted = max(1, ceil(share * len(own)))
    asked = {control["trial"] for control in done if control["variant"] == variant and not control.get("error")}
    ordered = sorted(cached, key=lambda row: hashlib.sha256(row.prompt_sha256.encode()).digest())
    return [row for row in ordered[:wanted] if row.trial not in asked]


def measure(session: Session, recipe: Recipe, rows: Sequence[Row]) -> Iterator[Control]:
    """Asks the rows' prompts again, each under a salt of its own, and compares."""
    trials = {trial.index: trial for trial in recipe.trials}
    of_row = {row.trial: row for row in rows}

    def prompts() -> Iterator[tuple[int, Prompt]]:
        for row in rows:
            prompt = recipe.build(trials[row.trial], recipe.reader_of(row)).prompt
            yield row.trial, replace(prompt, salt=f"niah-cold-{row.trial}")

    for index, result in Door(recipe.tokenizer, recipe.delimiters).answers(session, prompts()):
        row = of_row[index]
        if not isinstance(result, Completion):
            yield Control(
                row.variant, index, row.num_cached_tokens, None, row.response, "", row.logprob, None,
                secrets.masked(result.message),
            )
            continue
        logprob = None if result.grade is None else round(result.grade.logprob, 6)
        text = secrets.without_values(result.text)
        is_same = (secrets.without_values(result.thinking), text) == apart(row)
        yield Control(
            row.variant, index, row.num_cached_tokens, is_same, row.response, text,
            row.logprob, logprob,
        )


def sentence(controls: Sequence[dict[str, Any]]) -> str:
    """One sentence about all controls of a run; empty without any."""
    failed = [control for control in controls if control.get("error")]
    controls = [control for control in controls if not control.get("error")]
    if failed:
        lost = f"control without prefix cache: {len(failed)} failed ({failed[-1]['error']})"
        return f"{lost}; {sentence(controls)}" if controls else lost
    if not controls:
        return ""
    different = [control for control in controls if not control["is_same"]]
    both = [(control["logprob"], control["cold_logprob"]) for control in controls]
    shifts = [abs(cached - cold) for cached, cold in both if None not in (cached, cold)]
    shift = f", the right answer's log-probability by at most {max(shifts):.2g}" if shifts else ""
    if not different:
        return f"control without prefix cache: {len(controls)} of {len(controls)} answers the same{shift}"
    names = ", ".join(f"{control['variant']} trial {control['trial']}" for control in different[:5])
    return (
        f"control without prefix cache: {len(different)} of {len(controls)} answers differ ({names}){shift}: "
        "a fault of the engine, not of the model; engine.prefix_caching=false measures without the cache"
    )
