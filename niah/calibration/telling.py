"""The verb ``calibrate``: writes the checkpoints, or measures the noise margin."""

import time
from collections.abc import Iterator
from pathlib import Path

from niah.calibration import checkpoint, files, verify
from niah.calibration.design import DESIGNS, design
from niah.calibration.diagnose import Seen, diagnose
from niah.compose import choices
from niah.config import from_resolved, typed
from niah.errors import NiahError
from niah.model import Model
from niah.store import RunFolder
from niah.units import format_length
from niah.weights import resolve


def write(names: list[str], out: str, tokenizer: str) -> Iterator[str]:
    """Writes each model to the cache, or below ``out``; one line each."""
    nodes = {node["name"].removeprefix("calibration_"): node for node in choices("model/calibration")}
    for name in names or list(DESIGNS):
        if name.partition("@")[0] not in nodes:
            raise NiahError(f"calibrate models={name}: no such model; expected one of {', '.join(nodes)}")
        node = {**nodes[name.partition("@")[0]], "path": f"{files.SCHEME}{name}", "tokenizer": tokenizer}
        model: Model = typed("model", Model, node)[0]
        begun = time.perf_counter()
        if out:
            own, source = files.tokenizer(model)
            place = Path(out) / name
            is_new = checkpoint.write_to(design(name), own, source, place)
        else:
            place = Path(resolve(model).engine_path)
            is_new = None
        size = sum(file.stat().st_size for file in place.iterdir()) / 2**20
        told = "was there" if is_new is False else f"{time.perf_counter() - begun:.1f} s"
        yield f"calibration/{name}: {place} ({size:.0f} MiB, {told})"


def check(paths: list[str]) -> Iterator[str]:
    """Finished runs of calibration models, trial by trial beside what exact arithmetic says. Raises NiahError where they differ."""
    for path in paths:
        folder = RunFolder(Path(path))
        stored = folder.read_run()
        if not stored:
            raise NiahError(f"calibrate {path}: holds no run; expected a run's folder, as calibrate outputs/NAME")
        run = from_resolved(stored["config"])
        if files.of(run.model) is None:
            raise NiahError(f"calibrate {path}: a run of {run.model.name}; expected one of model=calibration/..., whose answers are known")
        for verdict in verify.compare(run, folder.rows(), stored):
            yield f"{path}, {verdict.variant}, {verdict.backend}: {verdict.num_right} of {len(verdict.trials)} trials as predicted"
            yield from _grid(verdict.trials)
            yield from (f"  bad trial left out: {reason}" for reason in verdict.bad)
            if verdict.failed:
                raise NiahError(f"calibrate {path}: {len(verdict.failed)} trials without an answer; first: {verdict.failed[0]}")
            if fault := diagnose(verdict.trials, kv_cache_dtype=verdict.variant, chunk=verdict.chunk):
                raise NiahError(f"calibrate {path}: {fault}")


def _grid(trials: tuple[Seen, ...]) -> Iterator[str]:
    """A line a length: predicted and seen from the first depth to the last, # found, . lost."""
    for length in sorted({trial.length for trial in trials}):
        own = sorted((trial for trial in trials if trial.length == length), key=lambda trial: trial.depth)
        predicted = "".join("#" if trial.is_predicted else "." for trial in own)
        seen = "".join("#" if trial.is_predicted == trial.is_expected else "." for trial in own)
        yield f"  {format_length(length):>8}  predicted {predicted}  seen {seen}"
