"""The whole context: the long-context reading that every other reader is compared with."""

from dataclasses import dataclass

from niah.readers import Material, Reader
from niah.records import Context, Problem, View


@dataclass(frozen=True, kw_only=True)
class Full(Reader):
    name: str = "full"

    def read(self, context: Context, problem: Problem, material: Material | None = None) -> View:
        return View(context.pieces, (True,) * len(context.needles), context.needles)
