"""Judging a response: pure functions of strings, one rule a file."""

from collections.abc import Sequence
from typing import Protocol

from niah.records import Score


class Scorer(Protocol):
    """``name`` labels run.json. ``score`` sees the response with its thinking cut off."""

    name: str

    def score(self, response: str, targets: Sequence[str]) -> Score: ...
