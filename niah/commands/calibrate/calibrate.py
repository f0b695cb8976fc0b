"""The verb ``calibrate``: writes the checkpoints, looks at finished runs of them, or measures the noise margin."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from niah.choices import choices
from niah.commands import hydra, page
from niah.commands.calibrate import findings, margin, verify
from niah.commands.calibrate.diagnose import UNQUANTIZED, TrialCheck, diagnose
from niah.commands.results import make
from niah.commands.words import changes, folder_arguments, own_words, restart_with_environment
from niah.config import Run, build, stored, typed
from niah.errors import NiahError
from niah.models.constructed import SCHEME, checkpoint
from niah.models.constructed.design import DESIGNS, design
from niah.models.constructed.files import design_of, tokenizer_and_folder
from niah.models.resolve import files_of
from niah.models.settings import Model
from niah.records import Row, RunRecord
from niah.report import margin_chart
from niah.report.settings import ReportSettings
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
        paths, words = folder_arguments("calibrate", rest)
        for line in check(paths, words):
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


def check(paths: Sequence[str], words: Sequence[str] = ()) -> Iterator[str]:
    """Finished runs of calibration models, trial by trial beside what exact arithmetic says; calibration.json and the
    page in the folder of each.

    Raises NiahError where they differ.
    """
    changed = changes("calibrate", words, ("report",)).get("report", {})
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
        for verdict in verdicts:
            yield f"{path}, {verdict.variant}, {verdict.backend}: {findings.right(verdict)}"
            yield from (
                f"  {format_length(line.length):>8}  predicted {line.predicted}  seen {line.seen}"
                for line in findings.lines_of(verdict.trials)
            )
            yield from (f"  bad trial left out: {reason}" for reason in verdict.bad)
        own = _faults(run, rows, verdicts)
        faults += [f"calibrate {path}: {fault}" for fault in own]
        settings: ReportSettings = typed("report", ReportSettings, {**record.report_settings, **changed})[0]
        yield from _written(path, record, rows, verdicts, own, settings)
    if faults:
        raise NiahError("; ".join(faults))


def _faults(run: Run, rows: Sequence[Row], verdicts: Sequence[verify.Verdict]) -> list[str]:
    """What is wrong with the engine under each variant, and trials without an answer."""
    plain = next((one for one in verdicts if verify.kv_of(run, one.variant).dtype in UNQUANTIZED), None)
    faults = []
    for verdict in verdicts:
        dtype = verify.kv_of(run, verdict.variant).dtype
        if fault := diagnose(verdict.trials, _control(verdict, plain), dtype, verdict.chunk):
            faults.append(f"{verdict.variant}: {fault}")
        elif not verdict.trials:
            faults.append(f"{verdict.variant}: no trial could tell")
    if unanswered := [row for row in rows if row.score is None]:
        lengths = ", ".join(format_length(length) for length in sorted({row.length for row in unanswered}))
        faults.append(f"{len(unanswered)} trials have no answer ({unanswered[0].outcome}, at {lengths})")
    return faults


def _written(
    path: str, record: RunRecord, rows: Sequence[Row], verdicts: Sequence[verify.Verdict], faults: Sequence[str],
    settings: ReportSettings,
) -> list[str]:
    """What is kept beside the run; the lines to print."""
    findings.keep(Path(path), verdicts, faults)
    said = [f"The engine fails: {fault}." for fault in faults] or [f"{one.sentence()}." for one in verdicts]
    tables = [findings.table(verdict) for verdict in verdicts]
    return page.write_page(
        page.shown_of(path, "", record, rows), Path(path), settings, sentences=said, tables=tables
    )


def _control(verdict: verify.Verdict, plain: verify.Verdict | None) -> list[TrialCheck]:
    """Under a quantized cache the trials without one; else the shortest, where there are longer ones."""
    if plain is not None and plain is not verdict:
        return list(plain.trials)
    lengths = {trial.length for trial in verdict.trials}
    if plain is not verdict or len(lengths) < 2:
        return []
    return [trial for trial in verdict.trials if trial.length == min(lengths)]


def measure_margin(run: Run, out: str) -> int:
    """Measures the noise margin, prints the table and draws it; margin.json, margin.png and the page in ``out``."""
    console = Console()
    folder = make(Path(out or "outputs/margin"))
    measured = thresholds(margin.measure(run, console, folder / "margin.json"))
    for line in _table(measured):
        console.say(line)
    for path in margin_chart.draw(measured, run.engine.name, folder, run.report):
        console.say(f"picture: {path}")
    title = f"Noise margin of engine {run.engine.name}"
    for line in page.write_page((), folder, run.report, title=title, tables=[findings.margins(measured)]):
        console.say(line)
    return 0


def _table(measured: Sequence[Threshold]) -> list[str]:
    """Nats at which half of the trials are found, and in brackets all; a row a length, the engine's noise behind."""
    names = list(dict.fromkeys(one.dtype for one in measured))
    place = {(one.dtype, one.length): one for one in measured}
    rows = [
        [format_length(length), *(_nats(place[name, length], place[EXACT, length]) for name in names)]
        for length in sorted({one.length for one in measured})
    ]
    return [
        "needle's score in nats at which half of the trials are found [all], and how far all is above exact arithmetic",
        *aligned([["length", *names], *rows], [8, *[22] * len(names)]),
    ]


def _nats(one: Threshold, exact: Threshold) -> str:
    half, whole = ("none" if value is None else f"{value:.2f}" for value in (one.half, one.all))
    noise = None if one is exact else one.above(exact)
    return f"{half} [{whole}]{'' if noise is None else f' {noise:+.2f}'}"
