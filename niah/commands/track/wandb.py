"""Weights & Biases. WANDB_PROJECT, WANDB_ENTITY, WANDB_DIR, WANDB_MODE and its key say where to; without a key the run
is written offline."""

import os
from collections.abc import Mapping
from typing import Any

from niah.commands.track.tracker import PROJECT, Results, Told, Tracker


class Wandb(Tracker):
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
        self._wandb = wandb
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=told.name, id=told.id, resume="allow", mode=mode,
            dir=os.environ.get("WANDB_DIR") or str(told.folder), config={**told.settings}, settings=quiet,
        )
        if mode != "offline":
            return str(self._run.url or mode)
        return f"offline, wandb sync {os.path.relpath(self._run.settings.sync_dir)} sends it"

    def progress(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({**numbers}, step=step)

    def results(self, results: Results) -> None:
        shown: dict[str, Any] = {
            f"tables/{name}": self._wandb.Table(columns=rows[0], data=rows[1:], allow_mixed_types=True)
            for name, rows in results.tables.items()
        }
        shown |= {f"pictures/{name}": self._wandb.Image(str(file)) for name, file in results.pictures.items()}
        if results.page:
            shown["page"] = self._wandb.Html(str(results.page), inject=False)
        self._run.log({**results.numbers, **shown}, step=results.step)
        self._run.summary.update({**results.numbers})

    def end(self, *, is_done: bool) -> None:
        self._run.finish(exit_code=0 if is_done else 1)
