"""Each question is judged by the scorer that it names itself, by any_of where it names none."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from niah import choices
from niah.errors import NiahError
from niah.records import Problem, Score
from niah.scorers import Scorer
from niah.scorers.any_of import AnyOf

_OTHERS = ("auto", "by_question")
"""Choices that stand for another scorer."""


@dataclass(frozen=True)
class ByQuestion(Scorer):
    """``Problem.scorer`` is the name of one of the choices of ``scorer=``, with the settings of its file."""

    name: str = "by_question"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        return AnyOf().score(response, targets, distractors)

    def score_problem(self, response: str, problem: Problem) -> Score:
        scorer = _named(problem.scorer, choices.own_folder()) if problem.scorer else AnyOf()
        return scorer.score_problem(response, problem)


def names() -> list[str]:
    """Scorers that a question may name: not those that want a claim of absence, for which nothing is planted."""
    return [
        name for name in choices.names("scorer")
        if name not in _OTHERS and not _named(name, choices.own_folder()).targets_deny
    ]


@cache
def _named(name: str, own_folder: Path | None) -> Scorer:
    """``own_folder`` is the user's own of choices, which may hold another one of that name."""
    if name in _OTHERS or (file := choices.file_of("scorer", name)) is None:
        raise NiahError(
            f"scorer: a question names {name!r}, which is no choice of scorer; expected one of "
            f"{', '.join(choices.names('scorer'))}; one of your own is found with --config-dir"
        )
    settings = choices.content(file)
    found: Scorer = choices.named(str(settings.pop("_target_")))(**settings)
    return found
