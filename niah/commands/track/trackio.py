"""Trackio. TRACKIO_DIR, TRACKIO_SPACE_ID and TRACKIO_SERVER_URL say where to; without them it is the user's cache."""

import os

from niah.commands.track.tracker import PROJECT, Told
from niah.commands.track.wandb_interface import WandbInterface


class Trackio(WandbInterface):
    """A run is known by its name: that of the folder, with the beginning of the run's id."""

    module = "trackio"
    package = "trackio"

    def begin(self, told: Told) -> str:
        import trackio

        self._package = trackio
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._run = trackio.init(
            project=project, name=f"{told.name}-{told.id[:6]}", config={**told.settings}, resume="allow", embed=False,
            auto_log_gpu=False, auto_log_cpu=False,
        )
        return f"project {project}, run {self._run.name}; trackio show --project {project}"

    def end(self, *, is_done: bool) -> None:
        self._run.finish()
