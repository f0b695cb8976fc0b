"""Who answers: open engines, one for what fails and perhaps another to hold it against."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from niah.commands.shrink.failure import Answer, Judge
from niah.commands.shrink.second import SecondSession
from niah.commands.shrink.trial import COLD, Failing
from niah.config import Run
from niah.engines import Job, Session
from niah.engines.reply import Door
from niah.engines.restart import RestartedSession
from niah.errors import NiahError
from niah.records import Prompt
from niah.runs import capacity, measure


@dataclass(frozen=True)
class Side:
    """An open engine: ``run`` has its settings, ``job`` what it was opened for. ``name`` is what a person calls it."""

    name: str
    run: Run
    job: Job
    session: Session

    def ask(self, prompts: Sequence[Prompt], judge: Judge, salt: str) -> Answer:
        """The answer to the last of them. They are asked one after the other, and share a prefix cache with each other
        and with nothing else, where the engine can do that (``Session.can_skip_cache``)."""
        door = Door(judge.recipe.tokenizer, judge.recipe.delimiters)
        own = salt if self.session.can_skip_cache else ""
        for prompt in prompts:
            ((_, result),) = door.answers(self.session, [(0, replace(prompt, salt=own))])
        return judge.answer(result)


@contextmanager
def opened(trial: Failing, log: Path, note: Callable[[str], None]) -> Iterator[tuple[Side, Side | None]]:
    """The open engines, closed at the end. Two that hold a model are in two processes."""
    found: list[Side] = []
    is_apart = bool(trial.second and trial.second.engine.holds_a_model and trial.run.engine.holds_a_model)
    try:
        found.append(_side(trial, trial.run, trial.row.variant, log, note, is_apart=False))
        if trial.second:
            found.append(_side(trial, trial.second, trial.asked.against, log, note, is_apart=is_apart))
        yield found[0], found[1] if trial.second else (found[0] if trial.asked.against == COLD else None)
    finally:
        for side in found:
            side.session.close()


def _side(
    trial: Failing, run: Run, name: str, log: Path, note: Callable[[str], None], *, is_apart: bool
) -> Side:
    """Opened for the lengths of the run, as the run's own engine was."""
    fits = capacity.check(run)
    fit, run = next(iter(fits.values())), capacity.settled(run, fits)
    recipe = trial.recipe
    fitting = [one for one in recipe.trials if one.length not in fit.unfit]
    if trial.row.length in fit.unfit:
        raise NiahError(f"{trial.name}: does not fit {name}: {fit.unfit[trial.row.length]}")
    longest = recipe.max_read(fitting)
    run.engine.check(recipe.files, run.model, longest)
    job = measure.job_of(run, recipe, fit, longest, log)

    def engine() -> Session:
        return SecondSession(run.engine, job) if is_apart else run.engine.open(job)

    return Side(name, run, job, RestartedSession(engine, note))
