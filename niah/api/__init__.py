"""niah in Python: runs measured by a command in a process of its own, their rows and numbers, and pictures."""

from pathlib import Path
from typing import Any

from niah.api import process
from niah.api.compared import ComparedRuns, compared
from niah.api.measured import MeasuredRun
from niah.errors import NiahError, UnansweredError

__all__ = ["ComparedRuns", "MeasuredRun", "NiahError", "UnansweredError", "compare", "load", "run", "sweep"]


def run(*words: str) -> MeasuredRun:
    """Measures what ``python -m niah WORDS`` measures, in a process of its own, and returns the run when it is done.

    ``words`` are those of the command: ``niah.run("model=smollm2_135m", "ctx=8k", "name=first")``. Its progress goes to
    stdout and stderr as it comes. The same words continue a run that was stopped, and measure nothing twice.

    Raises NiahError with the command's one line where it refuses, UnansweredError where trials are left without an
    answer, KeyboardInterrupt after Ctrl-C has stopped it; finished trials are kept each time (``load``).
    """
    for word in process.checked(words):
        if word in ("-m", "--multirun") or (word.startswith("experiment=") and process.is_sweep(word)):
            raise NiahError(f"niah.run: got {word}, which makes several runs; call niah.sweep with the same words")
    return sweep(*words)[-1]


def sweep(*words: str) -> list[MeasuredRun]:
    """The same for words that make several runs: ``niah.sweep("-m", "model=smollm2_135m,gemma3_270m", "ctx=8k")``."""
    return [MeasuredRun(folder, config_dir=process.config_dir(words)) for folder in process.run(words)]


def load(folder: str | Path, *, config_dir: str | Path | None = None) -> MeasuredRun:
    """A run that is stored in ``folder``, as outputs/NAME, finished or not.

    ``config_dir`` has plug-ins of your own that it was measured with, as the command's --config-dir. Raises NiahError
    where there is no run.
    """
    return MeasuredRun(folder, config_dir=config_dir)


def compare(
    base: MeasuredRun | str | Path, *others: MeasuredRun | str | Path, **settings: Any
) -> ComparedRuns:
    """The paired test of ``python -m niah compare``: each of the others, or each further variant of ``base`` alone,
    against ``base``. Nothing is written.

    ``settings`` are those of the verb without "compare.": ``niah.compare(a, b, margin=0.05)``. Raises NiahError where
    there is nothing to compare, or the runs were asked different things.
    """
    return compared([_folder(one) for one in (base, *others)], settings)


def _folder(one: MeasuredRun | str | Path) -> str:
    return str(one.folder if isinstance(one, MeasuredRun) else one)
