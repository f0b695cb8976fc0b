"""What Weights & Biases and Trackio have in common: numbers, tables, pictures and a page go into a run's log."""

from collections.abc import Mapping
from typing import Any

from niah.commands.track.tracker import Results, Tracker


class WandbInterface(Tracker):
    """A tracker whose ``begin`` sets ``_package``, the package that it imported, and ``_run``, what its ``init``
    returned."""

    _package: Any
    _run: Any

    def progress(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({**numbers}, step=step)

    def results(self, results: Results) -> None:
        shown: dict[str, Any] = {
            f"tables/{name}": self._package.Table(columns=rows[0], data=rows[1:], allow_mixed_types=True)
            for name, rows in results.tables.items()
        }
        shown |= {f"pictures/{name}": self._package.Image(str(file)) for name, file in results.pictures.items()}
        if results.page:
            shown["page"] = self._package.Html(str(results.page), inject=False)
        self._run.log({**results.numbers, **shown}, step=results.step)
