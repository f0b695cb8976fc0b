"""The verb ``shrink``: makes a failing trial of a stored run small, while it still fails, and writes a script of it."""

import os
from pathlib import Path

from niah import config, values
from niah.commands.results import make
from niah.commands.shrink import case_folder, readme
from niah.commands.shrink.failure import pair_of
from niah.commands.shrink.probes import Prober, allowance
from niah.commands.shrink.reduction import Reduction, Spent
from niah.commands.shrink.settings import ShrinkSettings
from niah.commands.shrink.shape import Shape
from niah.commands.shrink.sides import opened
from niah.commands.shrink.start import begun
from niah.commands.shrink.trial import Failing, Words, chosen
from niah.commands.words import changes, folder_arguments, restart_with_environment
from niah.disk import Lines
from niah.engines import processes
from niah.errors import NiahError
from niah.models import grants
from niah.runs import store
from niah.runs.console import Console
from niah.runs.store import RunFolder
from niah.terminal import say

_USAGE = "shrink DIR --trial N [--against VARIANT|transformers|cold] [--variant VARIANT] [shrink.key=...]"


def main(words: list[str]) -> int:
    """Exit code of ``shrink``: 0 where a new process shows the small one to fail too."""
    asked = _words(words)
    _, record = store.opened(asked.path)
    restart_with_environment([f"engine={record.engine_name}"])
    say(*shrink(asked, Console()))
    return 0


def _words(words: list[str]) -> Words:
    given: dict[str, str] = {}
    for name in ("--trial", "--against", "--variant"):
        for place, word in enumerate(words):
            key, separator, value = word.partition("=")
            if key == name:
                taken = 1 if separator else 2
                given[name] = value or "".join(words[place + 1 : place + taken])
                words = words[:place] + words[place + taken :]
                break
    if "--trial" not in given:
        folder_arguments("shrink", words)
    number = given.get("--trial", "")
    if not number.isascii() or not number.isdigit():
        raise NiahError(f"shrink --trial: got {number!r}; expected the number of a failing trial, as --trial 17")
    paths, rest = folder_arguments("shrink", words)
    if len(paths) > 1:
        raise NiahError(f"shrink: got {paths[1]!r} beside {paths[0]!r}; expected {_USAGE}")
    granting = [word for word in rest if word.partition("=")[0] in {f"model.{name}" for name in grants.TRUST}]
    found = changes("shrink", [word for word in rest if word not in granting], ("shrink", "engine"))
    settings: ShrinkSettings = config.typed("shrink", ShrinkSettings, found.get("shrink", {}))[0]
    config.check_secrets(found)
    return Words(
        paths[0], int(number), given.get("--against", ""), given.get("--variant", ""), settings,
        found.get("engine", {}), values.from_words(granting).get("model", {}),
    )


def shrink(asked: Words, console: Console) -> list[str]:
    """What to print. Raises NiahError where there is nothing to shrink, and where a new process does not confirm it."""
    clean = dict(os.environ)  # an open engine sets variables of its own
    trial = chosen(asked)
    spend = allowance(asked.settings.budget, trial.run.hardware)
    base = make(Path(asked.path) / "shrink")
    stopped: KeyboardInterrupt | None = None
    log = base / "engine.log"
    with (
        RunFolder(Path(asked.path)), console.log_to(log), processes.watched(Path(asked.path)),
        opened(trial, log, console.note) as (first, second),
    ):
        prober, start, asks = begun(trial, first, second, spend, Lines(base / "probes.jsonl"), console)
        title, reduction = readme.title(trial, prober), Reduction(start, prober.fails)
        case_folder.scripts_of(prober, start, title, prober.answers(start))  # none is refused now
        try:
            reduction.run(has_control=prober.check_control(start))
        except Spent as why:
            console.note(f"{why}: the smallest so far is kept; the same command goes on")
        except KeyboardInterrupt as stop:
            stopped = stop
        answers = prober.answers(reduction.best)
        scripts = case_folder.scripts_of(prober, reduction.best, title, answers)
        files = case_folder.files_of(prober, reduction.best)
    page = readme.page(trial, prober, start, reduction, answers, asks, list(scripts))
    unchecked = "Not yet run in a new process."
    case_folder.fill(trial.folder, files, {**scripts, case_folder.README: page(unchecked)})
    if stopped:
        console.note(f"{trial.folder}: the smallest so far, not run in a new process")
        raise stopped
    console.note(f"{trial.folder}: {', '.join(scripts)} in a new process")
    checked = case_folder.checked(trial.folder, prober, reduction.best, list(scripts), clean)
    verdict = "A new process shows the same failure:" if checked.is_confirmed else "A new process does NOT show it:"
    case_folder.fill(trial.folder, files, {
        **scripts, case_folder.README: page(f"{verdict}\n\n{readme.fenced(checked.said or checked.trouble)}"),
    })
    return _lines(trial, prober, start, reduction, asks, checked)


def _lines(
    trial: Failing, prober: Prober, start: Shape, reduction: Reduction, asks: int, checked: case_folder.Checked
) -> list[str]:
    """What to print. Raises NiahError where the new process did not confirm it."""
    best, pieces = reduction.best, prober.pieces
    num, least = len(pieces.prompt(start).ids), len(pieces.prompt(best).ids)
    found = prober.answers(best)
    lines = [
        f"{trial.name}: {prober.criterion.words(*pair_of(found))}, {asks} of {asks} times at {num:,} tokens",
        f"{'smallest' if reduction.is_finished else 'smallest so far'}: {least:,} tokens, {_kept(best)}; "
        f"{prober.num_known} prompts tried",
    ]
    if near := readme.around(reduction.around(), least):
        lines.append(near)
    if not prober.has_control:
        lines.append("without any filler it fails too: length has no part in it; question and answer were left as is")
    if not checked.is_confirmed:
        say(*lines)
        why = checked.trouble or "it answers otherwise"
        raise NiahError(f"{trial.folder}: {case_folder.SCRIPT} in a new process does not show the failure: {why}")
    return [*lines, f"{trial.folder}: {case_folder.SCRIPT} in a new process fails too; README.md is for a bug report"]


def _kept(best: Shape) -> str:
    """What is left, in words."""
    parts = [f"filler {' + '.join(f'{size:,}' for size in best.gaps)}" + (" (one line)" if best.is_plain else "")]
    parts += [f"question {best.tail}", f"answer {best.max_tokens}"]
    return ", ".join(parts + ([f"after {best.num_earlier} requests"] if best.earlier else []))
