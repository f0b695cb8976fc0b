"""The whole context: the long-context reading that every other reader is compared with."""

from dataclasses import dataclass

from niah.readers import Material
from niah.records import Context, Problem, View


@dataclass(frozen=True)
class Full:
    name: str = "full"

    reads_all = True

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        return num_tokens

    def read(self, context: Context, problem: Problem, material: Material | None = None) -> View:
        return View(context.pieces, (True,) * len(context.needles), context.needles)
