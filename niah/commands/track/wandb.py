"""Weights & Biases. WANDB_PROJECT, WANDB_ENTITY, WANDB_DIR, WANDB_MODE and its key say where to; without a key the run
is written offline."""

import os

from niah.commands.track.tracker import PROJECT, Results, Told
from niah.commands.track.wandb_interface import WandbInterface


class Wandb(WandbInterface):
    """Its own looks at the machine, the terminal and the repository are off: they are no part of a measurement."""

    module = "wandb"
    package = "wandb"

    def begin(self, told: Told) -> str:
        import wandb

        os.environ.setdefault("WANDB_SILENT", "true")
        mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
        quiet = wandb.Settings(
            console="off", silent=True, x_disable_stats=True, x_disable_meta=True, disable_git=True, disable_code=True,
            x_save_requirements=False,
        )
        self._package = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=told.name, id=told.id, resume="allow", mode=mode,
            dir=os.environ.get("WANDB_DIR") or str(told.folder), config={**told.settings}, settings=quiet,
        )
        if mode != "offline":
            return str(self._run.url or mode)
        return f"offline, wandb sync {os.path.relpath(self._run.settings.sync_dir)} sends it"

    def results(self, results: Results) -> None:
        super().results(results)
        self._run.summary.update({**results.numbers})

    def end(self, *, is_done: bool) -> None:
        self._run.finish(exit_code=0 if is_done else 1)
