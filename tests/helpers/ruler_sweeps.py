"""Sweeps over RULER's settings with chosen answers: configs are those of experiment=ruler, rows are written by the real
store."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path

from niah.records import Trial
from niah.tasks.ruler import SETTINGS
from tests.helpers.configs import built
from tests.helpers.runs import grid, rows, run

LENGTHS, DEPTHS = (1024, 2048, 4096), (0.0, 50.0, 100.0)
Right = Callable[[str, Trial], float | None]


@cache
def _recorded(setting: str) -> str:
    return json.dumps(built(f"experiment=ruler/{setting}").recorded)


def config_of(setting: str, **changed) -> dict:
    """What run.json holds of a setting's run; ``changed`` are groups, each updated."""
    plain = json.loads(_recorded(setting))
    for group, own in changed.items():
        plain[group] = own if own is None or not isinstance(plain.get(group), dict) else {**plain[group], **own}
    return deepcopy(plain)


def sweep(
    folder: Path, right: Right, settings: Sequence[str] = SETTINGS, repeats: int = 6,
    lengths: Sequence[int] = LENGTHS, name: str = "", fields: dict | None = None, salt: str = "",
    **changed,
) -> str:
    """A sweep's folder with a run of each setting; ``right`` gives the score of a setting's trial. ``fields`` are those
    of rows, ``salt`` makes other prompts."""
    for setting in settings:
        depths = (0.0,) if setting in ("cwe", "fwe") else DEPTHS
        trials = grid(repeats, lengths, depths)
        made = rows(
            trials, lambda trial, setting=setting: right(setting, trial), salt=f"{setting}{salt}", **(fields or {})
        )
        made = [dataclasses.replace(row, task=config_of(setting)["task"]["name"]) for row in made]
        run(folder / f"{folder.name}-{name}{setting}", made, **config_of(setting, **changed))
    return str(folder)
