"""Which part of a context the model gets to see: one rule, one file, one frozen dataclass."""

from typing import Protocol

from niah.records import Context, Problem, View


class Reader(Protocol):
    """``name`` labels rows and figures."""

    name: str

    def read(self, context: Context, problem: Problem) -> View: ...
