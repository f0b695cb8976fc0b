"""The verb ``calibrate``: writes the checkpoints, looks at finished runs of them, or measures the noise margin."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from niah.choices import choices
from niah.commands import hydra
from niah.commands.calibrate import margin, verify
from niah.commands.calibrate.diagnose import UNQUANTIZED, TrialCheck, diagnose
from niah.commands.results import make
from niah.commands.words import folder_arguments, own_words, restart_with_environment
from niah.config import Run, build, stored, typed
from niah.errors import NiahError
from niah.models.constructed import checkpoint
from niah.models.constructed.design import DESIGNS, design
from niah.models.constructed.files import SCHEME, design_of, tokenizer_and_folder
from niah.models.resolve import files_of
from niah.models.settings import Model
from niah.report import margin_chart
from niah.report.text_table import aligned
from niah.runs import store
from niah.runs.console import Console
from niah.stats.noise_margin import EXACT, Threshold, thresholds
from niah.terminal import say
from niah.units import format_length


def main(words: list[str]) -> int:
    """Exit code of ``calibrate`` with run folders, with settings of a run, or with the names of checkpoints to
    write."""
    own, rest = own_words({"out": "", "models": "", "tokenizer": ""}, words)
    if rest and os.path.isdir(rest[0]):
        paths, _ = folder_arguments("calibrate", rest)
        for line in check(paths):
            say(line)
        return 0
    if rest:
        if given := [name for name in ("models", "tokenizer") if own[name]]:
            raise NiahError(
                f"calibrate {given[0]}=: is for writing checkpoints, without settings of a run; got {rest[0]} too; "
                "leave one out"
            )
        restart_with_environment(rest)
        adapted = hydra.adapted(margin.words(rest))
        return hydra.run(adapted, lambda config: measure_margin(build(config), own["out"]))
    names = [name for name in own["models"].strip("[]").replace(" ", "").split(",") if name]
    for line in write(names, own["out"], own["tokenizer"]):
        say(line)
    return 0


def write(names: list[str], out: str, tokenizer: str) -> Iterator[str]:
    """Writes each model to the cache, or below ``out``; one line each."""
    nodes = {node["name"].removeprefix("calibration_"): node for node in choices("model/calibration")}
    for name in names or list(DESIGNS):
        if name.partition("@")[0] not in nodes:
            raise NiahError(f"calibrate models={name}: no such model; expected one of {', '.join(nodes)}")
        node = {**nodes[name.partition("@")[0]], "path": f"{SCHEME}{name}", "tokenizer": tokenizer}
        model: Model = typed("model", Model, node)[0]
        begun = time.perf_counter()
        if out:
            own, source = tokenizer_and_folder(model)
            place = Path(out) / name
            is_new = checkpoint.write_to(design(name), own, source, place)
        else:
            place = Path(files_of(model).engine_path)
            is_new = None
        size = sum(file.stat().st_size for file in place.iterdir()) / 2**20
        how_long = "was there" if is_new is False else f"{time.perf_counter() - begun:.1f} s"
        yield f"calibration/{name}: {place} ({size:.0f} MiB, {how_long})"


def check(paths: list[str]) -> Iterator[str]:
    """Finished runs of calibration models, trial by trial beside what exact arithmetic says.

    Raises NiahError where they differ.
    """
    faults = []
    for path in paths:
        _, record, rows = store.open_for_reading(path)
        run = stored(store.settings_of(record))
        if design_of(run.model) is None:
            raise NiahError(
                f"calibrate {path}: a run of {run.model.name}; expected one of model=calibration/..., "
                "whose answers are known"
            )
        verdicts = verify.verdicts(run, rows, record, path)
        plain = next((one for one in verdicts if verify.kv_of(run, one.variant).dtype in UNQUANTIZED), None)
        unanswered = [row for row in rows if row.score is None]
        for verdict in verdicts:
            right = f"{verdict.num_right} of {len(verdict.trials)} trials as predicted"
            yield f"{path}, {verdict.variant}, {verdict.backend}: {right}"
            yield from _grid(verdict.trials)
            yield from (f"  bad trial left out: {reason}" for reason in verdict.bad)
            dtype = verify.kv_of(run, verdict.variant).dtype
            if found := diagnose(verdict.trials, _control(verdict, plain), dtype, verdict.chunk):
                faults.append(f"calibrate {path}: {verdict.variant}: {found}")
            elif not verdict.trials:
                faults.append(f"calibrate {path}: {verdict.variant}: no trial could tell")
        if unanswered:
            lengths = ", ".join(format_length(length) for length in sorted({row.length for row in unanswered}))
            why = f"({unanswered[0].outcome}, at {lengths})"
            faults.append(f"calibrate {path}: {len(unanswered)} trials have no answer {why}")
    if faults:
        raise NiahError("; ".join(faults))


def _control(verdict: verify.Verdict, plain: verify.Verdict | None) -> list[TrialCheck]:
    """Under a quantized cache the trials without one; else the shortest, where there are longer ones."""
    if plain is not None and plain is not verdict:
        return list(plain.trials)
    lengths = {trial.length for trial in verdict.trials}
    if plain is not verdict or len(lengths) < 2:
        return []
    return [trial for trial in verdict.trials if trial.length == min(lengths)]


def _grid(trials: tuple[TrialCheck, ...]) -> Iterator[str]:
    """A line a length: predicted and seen from the first depth to the last, # found, . lost."""
    for length in sorted({trial.length for trial in trials}):
        own = sorted((trial for trial in trials if trial.length == length), key=lambda trial: trial.depth)
        predicted = "".join("#" if trial.is_predicted else "." for trial in own)
        seen = "".join("#" if trial.is_predicted == trial.is_expected else "." for trial in own)
        yield f"  {format_length(length):>8}  predicted {predicted}  seen {seen}"


def measure_margin(run: Run, out: str) -> int:
    """Measures the noise margin, prints the table and draws it; margin.json and margin.png in ``out``."""
    console = Console()
    folder = make(Path(out or "outputs/margin"))
    found = thresholds(margin.measure(run, console, folder / "margin.json"))
    for line in _table(found):
        console.say(line)
    for path in margin_chart.draw(found, run.engine.name, folder, run.report):
        console.say(f"picture: {path}")
    return 0


def _table(found: Sequence[Threshold]) -> list[str]:
    """Nats at which half of the trials are found, and in brackets all; a row a length, the engine's noise behind."""
    names = list(dict.fromkeys(one.dtype for one in found))
    place = {(one.dtype, one.length): one for one in found}
    rows = [
        [format_length(length), *(_nats(place[name, length], place[EXACT, length]) for name in names)]
        for length in sorted({one.length for one in found})
    ]
    return [
        "needle's score in nats at which half of the trials are found [all], and how far all is above exact arithmetic",
        *aligned([["length", *names], *rows], [8, *[22] * len(names)]),
    ]


def _nats(one: Threshold, exact: Threshold) -> str:
    half, whole = ("none" if value is None else f"{value:.2f}" for value in (one.half, one.all))
    noise = None if one is exact else one.above(exact)
    return f"{half} [{whole}]{'' if noise is None else f' {noise:+.2f}'}"
