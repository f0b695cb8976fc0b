"""Runs a calibration model with a run's own engine and KV cache, and says whether every trial is as it must be."""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from niah.choices import choices
from niah.commands.calibrate import diagnose
from niah.commands.calibrate.diagnose import Fault, TrialCheck
from niah.commands.calibrate.expected import ExpectedAnswer, expected_answer
from niah.commands.results import make
from niah.config import Run, from_resolved
from niah.engines import KVCache
from niah.errors import NiahError
from niah.models.constructed import checkpoint
from niah.models.constructed.design import DESIGNS
from niah.models.constructed.files import SMOLLM2, design_of
from niah.models.gguf import missing_package
from niah.models.resolve import config_of, files_of
from niah.models.settings import Model
from niah.planner.fit import Fit
from niah.prompts.recipe import Recipe
from niah.records import RETRIED, EngineFacts, Row, RunRecord
from niah.runs import capacity, runner
from niah.runs.console import Console
from niah.scorers.outcome import judge
from niah.tokens.tokenizer import Tokenizer
from niah.units import format_length

_CONTROL_LENGTH = 1024
_CONTROL_DEPTHS = (0, 25, 50, 75, 100)
"""Of the trials that set a wrong scale apart from a wrong position, and a wrong position from what begins at some
length."""


@dataclass(frozen=True)
class Verdict:
    """One variant's trials. ``bad`` are trials whose text holds the answer's n-gram twice, with the reason;
    ``chunk`` is how many tokens the engine reads in a step."""

    variant: str
    backend: str
    trials: tuple[TrialCheck, ...]
    bad: tuple[str, ...]
    failed: tuple[str, ...]
    chunk: int = 0

    @property
    def num_right(self) -> int:
        return sum(trial.is_expected for trial in self.trials)

    def sentence(self) -> str:
        """For a person, where the verdict is a good one."""
        lengths = "/".join(format_length(length) for length in sorted({trial.length for trial in self.trials}))
        line = f"engine verified at {lengths}, {self.variant}, {self.backend}: {self.num_right}/{len(self.trials)}"
        return line + (f"; {len(self.bad)} bad left out ({self.bad[0]})" if self.bad else "")


def fitting(config: dict[str, Any]) -> str:
    """The calibration model of the same kind of attention as a config.json's."""
    if str(config.get("model_type", "")).startswith("llama4"):
        return "scout"
    is_windowed = bool(config.get("sliding_window")) and config.get("model_type") in ("mistral", "phi3")
    return "window_4k" if is_windowed else "full"


def depths_at(length: int) -> list[float]:
    """Depths of one needle, in percent: as many ranges of tokens as possible are looked at, at 8K and below every block
    of 128.

    Every second lies at a border of the engine's steps (and of scout's chunks) in usual lengths, the others away from
    them.
    """
    num = 65 if length <= 8192 else 33
    shares = (number / (num - 1) if number % 2 == 0 else (number + 0.5) / num for number in range(num))
    return [round(100 * share, 3) for share in shares]


def calibration_run(
    run: Run, name: str, lengths: Sequence[int], *, depths: Sequence[float] = (), repeats: int = 1, heads: int = 1,
    tokenizer: str = "", **changes: Any,
) -> Run:
    """A run of the calibration model ``name`` under the engine and KV cache of ``run``: a single number to find, in
    text that never repeats, in the tokens of ``tokenizer``, else SmolLM2's, else (without their package) those of the
    run's own model. Of speculation n-grams alone draft for such a model. ``changes`` are further settings, as plain
    data."""
    replaced = ("reader", "scorer", "task", "haystack", "model")
    resolved = {key: value for key, value in run.resolved.items() if key not in replaced}
    model = next(node for node in choices("model/calibration") if node["name"] == f"calibration_{name}")
    model = {**model, "dtype": run.model.dtype, "tokenizer": tokenizer or _tokenizer(run.model)}
    if heads > 1:  # as many as GPUs share the model
        model = {**model, "path": f"{model['path']}@heads:{heads}"}
    plain = {
        "model": model,
        "ctx": {
            "name": "calibration", "lengths": list(lengths), "depths": list(depths or depths_at(max(lengths))),
            "repeats": repeats,
        },
        "task": {"_target_": "niah.tasks.single.Single"},
        "haystack": {"_target_": "niah.haystacks.generated.Generated"},
        "reader": {"_target_": "niah.readers.full.Full"}, "scorer": {"_target_": "niah.scorers.auto.Auto"},
        "name": "calibration", "calibrate": False, "spec": _speculation(run),
    }
    kept = {key: value for key, value in run.named.items() if key not in {*replaced, *plain, *changes}}
    return dataclasses.replace(from_resolved({**resolved, **plain, **changes}), named=kept)


def _tokenizer(model: Model) -> str:
    """The source of a constructed model's tokenizer, as ``model.tokenizer`` names it; empty for SmolLM2's."""
    if not missing_package(SMOLLM2.path):
        return ""
    return model.tokenizer or str(files_of(model).folder)


def _speculation(run: Run) -> dict[str, Any]:
    """That of the run which a constructed model can have: it has no layers to draft with, and no head was trained for
    it."""
    able = [one.plain() for one in run.spec.each() if one.method in ("none", "ngram")]
    return {**able[0], "also": able[1:]} if able else {}


def check(run: Run, console: Console) -> list[Verdict]:
    """Runs ``run``, whose model is a calibration model, in a folder of its own, and compares all its trials."""
    with tempfile.TemporaryDirectory(prefix="niah-calibration-") as folder:
        with keeping_the_log(Path(folder) / "calibration", Path(run.outputs)):
            summary = runner.run(dataclasses.replace(run, outputs=folder, name="calibration"), console)
        return verdicts(run, summary.rows, summary.record)


@contextmanager
def keeping_the_log(run_folder: Path, place: Path) -> Iterator[None]:
    """Where an engine fails in a folder that is about to go: its log stays, as calibration.log in ``place``."""
    try:
        yield
    except NiahError as error:
        log = run_folder / "engine.log"
        if not log.is_file():
            raise
        kept = shutil.copy(log, make(place) / "calibration.log")
        raise NiahError(str(error).replace(str(log), str(kept))) from error


def verdicts(
    run: Run, rows: Sequence[Row], record: RunRecord, path: str = "calibration"
) -> list[Verdict]:
    """The rows of a run of a calibration model against exact arithmetic, one verdict a variant. ``record`` is that of
    the run.

    Raises NiahError where a prompt cannot be built again as it was.
    """
    recipe = Recipe(run)
    wanted = _wanted(run, recipe, {row.trial: row for row in rows if row.score is not None}, record, path)
    return [
        _verdict(variant, [row for row in rows if row.variant == variant], wanted, recipe, record)
        for variant in dict.fromkeys(row.variant for row in rows)
    ]


@dataclass(frozen=True)
class _Wanted:
    """What had to come out of a trial: the answer as ids and as text, and whether it holds the needle."""

    answer: ExpectedAnswer
    text: str
    is_found: bool


def _wanted(
    run: Run, recipe: Recipe, scored: Mapping[int, Row], record: RunRecord, path: str
) -> dict[int, _Wanted]:
    """By trial, of those that have a row with an answer."""
    design = design_of(run.model)
    assert design is not None, f"{run.model.name} is no calibration model"
    circuit = checkpoint.circuit(design, recipe.tokenizer)
    wanted = {}
    for number, row in scored.items():
        built = recipe.rebuild(row, record.sources, path)
        answer = expected_answer(circuit, built.prompt.ids, built.prompt.max_tokens)
        text = recipe.tokenizer.decode([token for token in answer.ids if token != circuit.stop])
        is_found = judge(text, built.problem, run.scorer, "stop")[0].value == 1
        wanted[number] = _Wanted(answer, text, is_found)
    return wanted


def _verdict(
    variant: str, rows: Sequence[Row], wanted: Mapping[int, _Wanted], recipe: Recipe, record: RunRecord
) -> Verdict:
    answered = [row for row in rows if row.trial in wanted and row.score is not None]
    reasons = {row.trial: wanted[row.trial].answer.ambiguous for row in answered}
    return Verdict(
        variant, next((_backend(row.served) for row in answered), "no engine"),
        tuple(_check(row, recipe.tokenizer, wanted[row.trial]) for row in answered if not reasons[row.trial]),
        tuple(f"trial {trial}: {reason}" for trial, reason in reasons.items() if reason),
        tuple(f"trial {row.trial}: {row.error}" for row in rows if row.outcome in RETRIED),
        record.engines.get(variant, EngineFacts()).max_num_batched_tokens or 0,
    )


def _backend(served: dict[str, Any]) -> str:
    version = served.get("flash_attn_version")
    return f"{served.get('attention_backend')}{f' {version}' if version else ''}"


def _check(row: Row, tokenizer: Tokenizer, wanted: _Wanted) -> TrialCheck:
    right, given = tokenizer.encode_ids([wanted.text, row.response])
    num_begun = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(right, given, strict=False)))
    source = wanted.answer.source
    return TrialCheck(
        row.length, row.depth, source, num_begun, (row.score == 1) == wanted.is_found, wanted.is_found,
        (source or 0) + len(wanted.answer.ids) - 1,
    )


def verify(run: Run, console: Console) -> list[str]:
    """One line for each variant of the engine. Raises NiahError with what failed and what kind of fault it is."""
    wish = run.engine.wish()
    if wish is None:
        raise NiahError(
            f"calibrate: engine={run.engine.name} is not given weights by the plan; expected engine=vllm; for another "
            "that loads them run model=calibration/full, then calibrate its folder"
        )
    if wish.decode_context_parallel > 1:
        raise NiahError(
            "calibrate: no calibration model divides its heads for engine.decode_context_parallel_size; "
            "take calibrate=false"
        )
    name = fitting(config_of(run.model))
    fits = capacity.check(run)
    run = capacity.settled(run, fits)  # what is verified is the engine as the run has it
    length = min(_longest(run, fits), DESIGNS[name].max_length)
    heads = max(fit.setup.tensor_parallel for fit in fits.values())
    lines = []
    for verdict in check(calibration_run(run, name, [length], heads=heads), console):
        if verdict.failed:
            raise NiahError(
                f"calibrate: calibration/{name} got no answer, {verdict.variant}; {verdict.failed[0]}; "
                "nothing was measured"
            )
        if not verdict.trials:
            raise NiahError(f"calibrate: no trial of calibration/{name} could tell; {(*verdict.bad, 'none ran')[0]}")
        if fault := diagnosed(run, name, verdict, length, heads, console):
            raise NiahError(
                f"calibrate: engine fails calibration/{name} at {format_length(length)}, {verdict.variant}, "
                f"{verdict.backend}: {verdict.num_right}/{len(verdict.trials)}; {fault}; "
                "a dark cell would be the engine's; nothing was measured"
            )
        lines.append(verdict.sentence())
    return lines


def diagnosed(run: Run, name: str, verdict: Verdict, length: int, heads: int, console: Console) -> Fault | None:
    """The fault behind a verdict. Where all is lost a control run comes first: without a quantized cache, or short
    if there is none."""
    found = diagnose.diagnose(verdict.trials, chunk=verdict.chunk)
    if found is None or found.name != diagnose.UNKNOWN or any(trial.is_expected for trial in verdict.trials):
        return found
    kv = kv_of(run, verdict.variant)
    is_plain = kv.dtype in diagnose.UNQUANTIZED
    cache = {"name": kv.name, "dtype": kv.dtype} if is_plain else {"name": "bf16", "dtype": "bfloat16"}
    control_length = min(length, _CONTROL_LENGTH) if is_plain else length
    plain = calibration_run(run, name, [control_length], depths=_CONTROL_DEPTHS, heads=heads, kv=cache)
    control = [trial for one in check(plain, console) for trial in one.trials]
    return diagnose.diagnose(verdict.trials, control, kv.dtype, verdict.chunk)


def kv_of(run: Run, variant: str) -> KVCache:
    """The KV cache of a variant, whose name begins with that of its cache where the run has several."""
    return next((one for one in run.kv.each() if one.name == variant.split(" ")[0]), run.kv)


def _longest(run: Run, fits: dict[str, Fit]) -> int:
    """The most tokens that the model reads in this run, of lengths that fit under all its variants."""
    fitting_all = [length for length in run.ctx.lengths if not any(length in fit.unfit for fit in fits.values())]
    return max(capacity.num_read(run, length) for length in fitting_all or run.ctx.lengths)
