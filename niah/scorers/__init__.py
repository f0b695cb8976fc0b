"""Judging a response: pure functions of strings, one rule a file."""

from collections.abc import Sequence
from typing import Protocol

from niah.records import Score


class Scorer(Protocol):
    """``name`` labels run.json. ``score`` sees the response with its thinking cut off.

    ``distractors`` are wrong answers that the text offers too.
    """

    name: str

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score: ...
