"""The noise margin of an engine: with how strong a needle it begins to find it, beside exact arithmetic.

The model ``margin`` gives the needle's n-gram a score of so many nats over the mean of all others; the softmax over n
tokens finds it where that beats ln n by enough. Each key also holds a large part that the query cancels exactly
and rounding does not: what an engine needs beyond exact arithmetic is its noise.
"""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from niah import disk, environment
from niah.commands.calibrate import verify
from niah.commands.calibrate.expected import expected_answer
from niah.commands.results import write
from niah.config import Run
from niah.errors import NiahError, first_line
from niah.models.constructed import checkpoint
from niah.models.constructed.design import design
from niah.models.constructed.files import tokenizer_and_folder
from niah.prompts.recipe import Recipe
from niah.runs import capacity, packages, runner
from niah.runs.console import Console, Progress, Reading
from niah.runs.record import fingerprint, plain
from niah.scorers.outcome import judge
from niah.stats.noise_margin import EXACT, Share
from niah.units import format_length

STEP_NATS = 0.5
_FIRST_NATS, _LAST_NATS = 3.0, 24.0
_REPEATS = 2
_MAX_TOKENS = 12
_ALIASES = {"fp8_e4m3": "fp8", "bfloat16": "bf16"}
Counts = dict[int, tuple[int, int]]
"""(found, tried) by length."""
_Counting = Callable[[float, Sequence[int]], Counts]
"""Counts of a needle of so many nats at these lengths."""


def words(overrides: Sequence[str]) -> list[str]:
    """vLLM's own names of dtypes are understood too: ``kv=[bf16,fp8_e4m3]``."""
    made = []
    for word in overrides:
        key, _, value = word.partition("=")
        if key == "kv":
            names = [name.strip() for name in value.strip("[]").split(",")]
            word = f"kv=[{','.join(dict.fromkeys(_ALIASES.get(name, name) for name in names))}]"
        made.append(word)
    return made


def measure(run: Run, console: Console, place: Path) -> list[Share]:
    """Counts at rising strengths, in exact arithmetic and under each KV dtype of ``run``: for each length until every
    trial is found twice in a row.

    Each level is on disk before the next: the same command continues from ``place``.
    """
    _check(run)
    lengths = sorted(set(run.ctx.lengths))
    task = {"_target_": "niah.tasks.single.Single", "max_tokens": _MAX_TOKENS}  # a lost needle is read no further
    repeats = max(_REPEATS, run.ctx.repeats)
    base = verify.calibration_run(
        run, "margin", lengths, depths=run.ctx.depths, repeats=repeats, tokenizer=run.model.tokenizer, task=task,
        spec={},
    )
    packages.check(base)
    recipe = Recipe(base)
    identity = fingerprint({
        "config": {k: v for k, v in base.content.items() if k != "kv"}, "layout": checkpoint.LAYOUT,
        "sources": plain(recipe.sources()), "software": environment.decisive(),
    })
    stored = _stored(place)
    if stored and stored.get("identity") != identity:
        raise NiahError(
            f"{place}: holds margins of other settings, software or GPUs; expected the same; take another out="
        )
    shares = [Share(**one) for one in stored.get("shares", ())]

    def rising(counts_at: _Counting, name: str, first: Mapping[int, float]) -> None:
        for new in _rising(counts_at, name, console, first, [share for share in shares if share.dtype == name]):
            shares.extend(new)
            content = {"identity": identity, "shares": [dataclasses.asdict(share) for share in shares]}
            write(place, json.dumps(content, indent=1))

    rising(_Exact(recipe), EXACT, dict.fromkeys(lengths, _FIRST_NATS))
    # no engine beats exact arithmetic by more than chance
    found = [share for share in shares if share.dtype == EXACT and share.found]
    lowest = {
        length: min((share.nats for share in found if share.length == length), default=_LAST_NATS) - STEP_NATS
        for length in lengths
    }
    served = capacity.settled(base, capacity.check(base))  # by the whole ladder: later levels have less of it
    for kv in run.kv.each():
        rising(partial(_engine_counts, dataclasses.replace(served, kv=kv)), kv.name, lowest)
    return shares


def _check(run: Run) -> None:
    """Raises NiahError where what is measured would not be one engine with our weights."""
    if not run.engine.holds_a_model:
        raise NiahError(
            f"calibrate: engine={run.engine.name} loads no checkpoint of ours; expected engine=vllm or transformers"
        )
    several = {"attention": run.engine.attention, "flash_attn_version": run.engine.flash_attn_version}
    for name, given in several.items():
        if len(given) > 1:
            raise NiahError(
                f"engine.{name}: got several; a margin is of one: expected one of them, with an out= of its own each"
            )


def _stored(place: Path) -> dict[str, Any]:
    """margin.json as it was left. Raises NiahError for a torn or foreign file."""
    expected = "expected the margins of an earlier call; take another out= or delete it"
    try:
        stored = disk.parsed(place.read_bytes()) if place.is_file() else {}
        for one in stored.get("shares", ()):
            Share(**one)
    except (ValueError, OSError, TypeError) as error:
        raise NiahError(f"{place}: no margins ({first_line(error)}); {expected}") from error
    return stored


def _rising(
    counts_at: _Counting, name: str, console: Console, first: Mapping[int, float], known: Sequence[Share]
) -> Iterator[list[Share]]:
    """The shares of each level that are not known yet, of lengths that are not done; ``first`` is each length's lowest
    level."""
    complete = dict.fromkeys(first, 0)
    for nats in np.arange(min(first.values()), _LAST_NATS + STEP_NATS, STEP_NATS):
        wanted = [length for length in first if nats >= first[length] and complete[length] < 2]
        level = [share for share in known if share.nats == nats and share.length in wanted]
        if missing := [length for length in wanted if length not in {share.length for share in level}]:
            counts = counts_at(float(nats), missing)
            new = [Share(name, length, float(nats), found, tried) for length, (found, tried) in counts.items()]
            yield new
            level += new
        for share in level:
            complete[share.length] = complete[share.length] + 1 if share.found == share.trials else 0
        if level:
            shares = ", ".join(f"{format_length(share.length)} {share.found}/{share.trials}" for share in level)
            console.note(f"{name}, needle of {nats:g} nats: {shares}")
        if min(complete.values()) == 2:
            return


class _Exact:
    """Found and tried by length, in float64; the prompts are the same at every level."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        self._built = {trial: recipe.build(trial) for trial in recipe.trials}

    def __call__(self, nats: float, lengths: Sequence[int]) -> Counts:
        tokenizer = self._recipe.tokenizer
        circuit = checkpoint.circuit(design(f"margin@nats:{nats}"), tokenizer)
        counts: Counts = {}
        for trial, built in self._built.items():
            if trial.length not in lengths:
                continue
            ids = expected_answer(circuit, built.prompt.ids, built.prompt.max_tokens).ids
            text = tokenizer.decode([token for token in ids if token != circuit.stop])
            hit = judge(text, built.problem, self._recipe.run.scorer, "stop")[0].value == 1
            found, total = counts.get(trial.length, (0, 0))
            counts[trial.length] = found + hit, total + 1
        return counts


def _engine_counts(base: Run, nats: float, lengths: Sequence[int]) -> Counts:
    """The same by the engine, with a checkpoint of its own that does not outlive it."""
    own, source = tokenizer_and_folder(base.model)
    with tempfile.TemporaryDirectory(prefix="niah-margin-") as place:
        folder = Path(place) / "model"
        checkpoint.write_to(design(f"margin@nats:{nats}"), own, source, folder)
        model = dataclasses.replace(base.model, path=str(folder))
        ladder = dataclasses.replace(base.ctx, lengths=list(lengths))
        resolved = {
            **base.resolved, "model": {**base.resolved["model"], "path": str(folder)},
            "ctx": {**base.resolved["ctx"], "lengths": list(lengths)},
        }
        run = dataclasses.replace(base, model=model, ctx=ladder, resolved=resolved, outputs=place, name="margin")
        with verify.keeping_the_log(Path(place) / "margin", Path(base.outputs)):
            rows = runner.run(run, _Quiet()).rows
    if broken := [row for row in rows if row.score is None]:
        raise NiahError(
            f"calibrate: {base.kv.name} got no answer at {format_length(broken[0].length)}: {broken[0].error}"
        )
    scores = {length: [row.score for row in rows if row.length == length] for length in lengths}
    return {length: (sum(score == 1 for score in own), len(own)) for length, own in scores.items()}


class _Quiet(Console):
    """Says nothing of each of the many short runs: ``_rising`` says how far all of them are."""

    def note(self, text: str) -> None:
        pass

    def progress(
        self, num_trials: int, num_done: int, total_work: int, reading: Reading = lambda: None
    ) -> Progress:
        return _NoProgress()

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        yield


class _NoProgress(Progress):
    def __init__(self) -> None:
        pass

    def advance(self, work: int, computed_tokens: int) -> None:
        pass

    def close(self) -> None:
        pass
