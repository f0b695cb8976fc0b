"""run.json while a run goes on: what is opened, finished and spent, on disk at each turn."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from niah import environment, secrets
from niah.engines import Session
from niah.records import EngineFacts, RunRecord, RunSession
from niah.runs.store import RunFolder
from niah.stats.computed_tokens import Tokens


class Journal:
    """Keeps ``record``, whose last session is the one that goes on, and writes it into the run's folder.

    ``begin`` and ``finish`` write, and so does ``opened``; what else is noted comes with the next of them.
    """

    def __init__(self, folder: RunFolder, record: RunRecord):
        self.record = record
        self._folder = folder

    def begin(self, trials_before: int, asked: Mapping[str, Any]) -> None:
        """Adds this session, which finds ``trials_before`` answered; ``asked`` is what it asks for."""
        session = RunSession(_now(), trials_before, asked=asked)
        self.record = replace(self.record, sessions=[*self.record.sessions, session])
        self.write()

    def planned(self, num_trials: int) -> None:
        """So many trials were chosen in the end."""
        self.record = replace(self.record, scope=replace(self.record.scope, num_trials=num_trials))
        self.write()

    def finish(self) -> None:
        """The session is over, whatever ended it."""
        self._note(finished=_now())
        self.write()

    def opened(self, variant: str, session: Session, *, has_control: bool) -> None:
        """A variant's engine is there. With a control sample, that is due until ``control_done``."""
        due = {*self.record.control_due, *([variant] if has_control else [])}
        self.record = replace(self.record, control_due=sorted(due))
        self.facts(variant, session)
        self.write()

    def facts(self, variant: str, session: Session) -> None:
        """What the engine says of itself by now, and what it tried again.

        ``engine`` of the record is the first variant's, for those who look at one.
        """
        engines = {**self.record.engines, variant: EngineFacts(secrets.scrubbed(session.facts()))}
        self.record = replace(self.record, engines=engines, engine=next(iter(engines.values())))
        self.retried(variant, session.retried)

    def retried(self, variant: str, counts: Mapping[str, int] | None) -> None:
        """Requests that were sent again, by reason; None for an engine that does not count them."""
        if counts is not None:
            self._note(retried={**self._session.retried, variant: dict(counts)})

    def took(self, variant: str, *, trials: float, graded: float) -> None:
        """Seconds of the variant's trials, and of grading them within these; its engine is still there."""
        self._note(
            memory_gib={**self._session.memory_gib, variant: round(environment.peak_memory_bytes() / 2**30, 3)},
            trials_seconds={**self._session.trials_seconds, variant: round(trials, 2)},
            graded_seconds={**self._session.graded_seconds, variant: round(graded, 2)},
        )

    def computed(self, variant: str, tokens: Tokens) -> None:
        """Prompt tokens of the variant's trials."""
        self._note(tokens={**self._session.tokens, variant: asdict(tokens)})

    def control_took(self, variant: str, seconds: float) -> None:
        """Seconds of the variant's control sample."""
        self._note(control_seconds={**self._session.control_seconds, variant: round(seconds, 2)})

    def control_done(self, variant: str) -> None:
        """Nothing of the variant's control sample is left to ask."""
        self.record = replace(self.record, control_due=sorted({*self.record.control_due} - {variant}))

    def write(self) -> None:
        self._folder.write_record(self.record)

    @property
    def _session(self) -> RunSession:
        return self.record.sessions[-1]

    def _note(self, **changed: Any) -> None:
        self.record = replace(self.record, sessions=[*self.record.sessions[:-1], replace(self._session, **changed)])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
