"""Exact contexts as files, for any other engine: ids, text or JSON lines, and a manifest of them all."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from niah import __version__, disk
from niah import config as configuration
from niah.commands import hydra
from niah.commands.words import own_words
from niah.errors import NiahError
from niah.prompts import template
from niah.prompts.recipe import Built, Recipe
from niah.records import Trial
from niah.runs import packages
from niah.runs.record import fingerprint, plain
from niah.terminal import say
from niah.units import format_bytes, format_count

FORMATS = ("ids", "text", "jsonl")
SCHEMA = 1
_LINES, _MANIFEST = "prompts.jsonl", "manifest.json"
_DECISIVE = ("seed", "model", "ctx", "task", "haystack", "reader")
"""Settings that a prompt depends on; engine, KV cache and scorer do not change it."""
_TEXT_BYTES = 5
"""Bytes of text a token takes, about: to see whether the disk has room."""


def main(words: list[str]) -> int:
    """Exit code of ``build out=DIR WORDS [format=[ids,text,jsonl]]``."""
    own, rest = own_words({"out": "", "format": "ids"}, words)
    if not own["out"]:
        raise NiahError("build: where to? expected out=DIR, as build model=scout ctx.lengths=[1m] out=contexts")
    formats = own["format"].strip("[]").replace(" ", "").split(",")
    adapted = hydra.adapted(rest)
    is_sweep = bool({"-m", "--multirun"} & {*adapted})

    def build(config: Any) -> int:
        started = time.monotonic()
        run = configuration.build(config)
        packages.check(run, has_engine=False)
        for line in write(Recipe(run), own["out"], formats, own_folder=is_sweep):
            say(line)
        say(f"in {time.monotonic() - started:.1f} s")
        return 0

    return hydra.run(adapted, build)


def write(
    recipe: Recipe, out: str, formats: Sequence[str] = ("ids",), *, own_folder: bool = False
) -> Iterator[str]:
    """Writes the prompt of every trial into the folder ``out``; yields lines for the user.

    ``own_folder`` gives these contexts a folder of their own in it: a sweep writes many.

    ``ids``: NNNNN.npy, int32 (tokens,). ``text``: NNNNN.txt, the prompt as the tokenizer decodes it,
    control tokens by name. ``jsonl``: prompts.jsonl with that text and the chat messages. Raises
    NiahError for an unknown format, a full disk, or a folder that holds other contexts.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise NiahError(
            f"build format: got {unknown[0]!r}; expected some of {', '.join(FORMATS)}, as format=[ids,text]"
        )
    if recipe.unfit:
        raise NiahError(next(iter(recipe.unfit.values())))
    yield from recipe.notes()
    config = {key: recipe.run.content[key] for key in _DECISIVE}
    content = {"config": config, "sources": plain(recipe.sources())}
    known = fingerprint(content)
    folder = Path(os.path.expanduser(out))
    if own_folder:
        run = recipe.run
        folder /= f"{run.model.name}-{run.task.name}-{run.haystack.name}-{known[:8]}"
    trials = recipe.trials
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_folder(folder, known)
        yield _check_room(folder, trials, formats)
        with disk.replacement(folder / _LINES) if "jsonl" in formats else nullcontext() as lines:
            contexts = [_write_one(folder, trial, recipe.build(trial), recipe, formats, lines) for trial in trials]
        disk.replace(folder / _MANIFEST, json.dumps({
            "schema": SCHEMA, "niah": __version__, "fingerprint": known, **content,
            "formats": list(formats), "contexts": contexts,
        }, indent=1, ensure_ascii=False))
    except OSError as error:
        raise NiahError(
            f"build out={folder}: cannot be written ({error.strerror or error}); "
            "expected a writable folder with free space"
        ) from error
    lengths = [trial.length for trial in trials]
    num = format_count(len(contexts), "context")
    yield f"{folder}: {num} of {min(lengths):,} to {max(lengths):,} tokens, {_MANIFEST}"


def _check_folder(folder: Path, known: str) -> None:
    manifest = folder / _MANIFEST
    if manifest.is_file():
        try:
            there = disk.parsed(manifest.read_bytes()).get("fingerprint")
        except (ValueError, OSError):
            there = None
        if there != known:
            raise NiahError(f"build out={folder}: holds contexts of other settings; take another out=")
    # a build that was cut short left files of its own kind, and nothing else may be mixed with them
    elif foreign := [file.name for file in folder.iterdir() if not _is_ours(file.name)]:
        raise NiahError(f"build out={folder}: holds other files ({sorted(foreign)[0]}); expected a new or empty folder")


def _is_ours(name: str) -> bool:
    """A file that ``build`` writes, or what a killed one left of it."""
    whole = name.removeprefix(".").removesuffix(".draft")
    return whole[:5].isdigit() or whole in (_LINES, _MANIFEST)


def _check_room(folder: Path, trials: Sequence[Trial], formats: Sequence[str]) -> str:
    num_tokens = sum(trial.length for trial in trials)
    per_token = 4 * ("ids" in formats) + _TEXT_BYTES * ("text" in formats) + 2 * _TEXT_BYTES * ("jsonl" in formats)
    needed, free = num_tokens * per_token, shutil.disk_usage(folder).free
    if needed > free:
        raise NiahError(
            f"build out={folder}: not enough room; got {format_bytes(free)} free, expected {format_bytes(needed)} for "
            f"{len(trials)} contexts; take fewer lengths, depths or repeats, or another disk"
        )
    return f"{format_count(len(trials), 'context')}, {num_tokens:,} tokens, about {needed / 1e6:,.0f} MB"


def _write_one(
    folder: Path, trial: Trial, built: Built, recipe: Recipe, formats: Sequence[str], lines: BinaryIO | None
) -> dict[str, Any]:
    """Writes one context and returns its entry of the manifest."""
    name, made = f"{trial.index:05d}", built.prompt
    entry = {
        **asdict(trial), "num_prompt_tokens": len(made.ids), "max_tokens": made.max_tokens, "sha256": made.sha256,
        "question": built.problem.question, "targets": list(built.problem.targets),
        "distractors": list(built.problem.distractors), "needles": list(built.problem.needles),
        "needle_spans": [list(span) for span in made.spans], "needle_depths": list(built.context.depths),
        "needles_kept": list(built.view.kept), "repeated_share": round(built.stretch.repeated_share, 6),
    }
    if "ids" in formats:
        with disk.replacement(folder / f"{name}.npy") as file:
            np.save(file, made.ids)
        entry["ids"] = f"{name}.npy"
    if "text" in formats or "jsonl" in formats:
        text = recipe.tokenizer.decode(made.ids)
        if "text" in formats:
            disk.replace(folder / f"{name}.txt", text)
            entry["text"] = f"{name}.txt"
        if lines:
            lines.write(disk.encoded({**entry, "prompt": text, "messages": _messages(built, recipe)}))
    return entry


def _messages(built: Built, recipe: Recipe) -> list[dict[str, str]]:
    """The conversation before any chat template, for engines that apply their own."""
    opening, closing = template.around(recipe.run.task.template, built.problem)
    shown = "".join(
        piece if isinstance(piece, str) else recipe.tokenizer.decode(piece) for piece in built.view.pieces
    )
    system = recipe.run.model.system
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": opening + shown + closing}]
