"""Trackio. TRACKIO_DIR, TRACKIO_SPACE_ID and TRACKIO_SERVER_URL say where to; without them it is the user's cache."""

import os
from collections.abc import Mapping
from typing import Any

from niah.commands.track.tracker import PROJECT, Results, Told, Tracker


class Trackio(Tracker):
    """A run is known by its name: that of the folder, with the beginning of the run's id."""

    module = "trackio"
    package = "trackio"

    def begin(self, told: Told) -> str:
        import trackio

        self._trackio = trackio
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._run: Any = trackio.init(
            project=project, name=f"{told.name}-{told.id[:6]}", config={**told.settings}, resume="allow", embed=False,
            auto_log_gpu=False, auto_log_cpu=False,
        )
        return f"project {project}, run {self._run.name}; trackio show --project {project}"

    def progress(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({**numbers}, step=step)

    def results(self, results: Results) -> None:
        shown: dict[str, Any] = {
            f"tables/{name}": self._trackio.Table(columns=rows[0], data=rows[1:], allow_mixed_types=True)
            for name, rows in results.tables.items()
        }
        shown |= {f"pictures/{name}": self._trackio.Image(str(file)) for name, file in results.pictures.items()}
        if results.page:
            shown["page"] = self._trackio.Html(str(results.page), inject=False)
        self._run.log({**results.numbers, **shown}, step=results.step)

    def end(self, *, is_done: bool) -> None:
        self._run.finish()
