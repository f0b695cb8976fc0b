"""Nothing of the context: what the model answers right here it would answer right without the text."""

from dataclasses import dataclass

from niah.readers import Material, Reader
from niah.records import Context, Problem, View


@dataclass(frozen=True, kw_only=True)
class NoContext(Reader):
    name: str = "none"

    reads_all = False

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        return 1

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        return View(("",), (False,) * len(context.needles), (None,) * len(context.needles))
