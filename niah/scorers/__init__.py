"""Judging a response: pure functions of strings, one rule a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from niah.errors import NiahError
from niah.limits import check
from niah.records import Problem, Score

VERSION = 3
"""Of the rules by which responses are judged, raised where one may judge otherwise than before; 1: to November 2026; 2:
absence by phrases alone."""


@dataclass(frozen=True)
class Scorer:
    """The base of all scorers. To add one, subclass it as a frozen dataclass, in any module that Python can import.

    Give ``name`` a default, which labels run.json, and write ``score``. Then a file ``scorer/mine.yaml`` in a conf
    folder, with ``_target_: my_module.Mine`` and ``name: mine``, makes it ``scorer=mine``; a task's class attribute
    ``scorer = Mine()`` makes it that task's own. Every field is a setting (``scorer.whole_words=false``).
    """

    name: str
    targets_deny: ClassVar[bool] = False
    """Whether the targets are phrases for "there is none" instead of values."""

    def __post_init__(self) -> None:
        """Checks the settings; a subclass that checks more of its own calls this first."""
        check(self, "scorer")

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        """Judges a response, its thinking cut off, by the ``targets`` that a right answer holds.

        ``distractors`` are wrong answers that the text offers too. ``Score.value`` 1 is a right answer.
        """
        raise NiahError(
            f"scorer={self.name}: {type(self).__name__} has no method score; expected score(response, targets, "
            "distractors)"
        )

    def score_problem(self, response: str, problem: Problem) -> Score:
        """The same for a whole problem: a scorer that has to know the question writes this one."""
        return self.score(response, problem.targets, problem.distractors)
