"""The response says that the text does not hold the answer: by the phrase asked for, or in other words."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Problem, Score
from niah.scorers import Scorer
from niah.scorers.speech import Speech


def claims_absence(response: str, question: str = "") -> bool:
    """Whether a response that is not right otherwise says that there is no answer, and names none all the same."""
    return Speech(response, question).claims_absence


@dataclass(frozen=True)
class ClaimsAbsence(Scorer):
    """``targets`` are the language's phrases for it, ``distractors`` values that the text gives for other keys.

    Where it is wrong, ``Score.answer`` is the value that the response names; empty where it names none, which is no
    false alarm.
    """

    name: str = "claims_absence"
    targets_deny = True

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        return self._score(response, "", targets, distractors)

    def score_problem(self, response: str, problem: Problem) -> Score:
        return self._score(response, problem.question, problem.targets, problem.distractors)

    def _score(self, response: str, question: str, targets: Sequence[str], distractors: Sequence[str]) -> Score:
        speech = Speech(response, question, distractors, targets)
        return Score(1.0, response.strip()) if speech.claims_absence else Score(0.0, speech.named)
