"""The whole context: the long-context reading that every other reader is compared with."""

from dataclasses import dataclass

from niah.records import Context, Problem, View


@dataclass(frozen=True)
class Full:
    name: str = "full"

    def read(self, context: Context, problem: Problem) -> View:
        return View(context.pieces, (True,) * len(context.needles))
