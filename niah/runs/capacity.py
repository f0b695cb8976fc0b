"""Which lengths of a run fit, on this machine or another, and how it is served there, before anything is loaded."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from niah import environment, grid
from niah.choices import choices
from niah.config import Run, typed
from niah.errors import NiahError
from niah.planner import architecture, defaults, drafter, estimate, machine, serving
from niah.planner.architecture import Architecture
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import Setup
from niah.runs.variants import Variant, variants
from niah.units import format_seconds

_NEEDLES, _QUESTION = 1024, 1024
"""Tokens of needles and question, about: for the memory a reader needs that leaves text out."""


def known_hardware() -> list[Hardware]:
    """Every file of conf/hardware, one GPU each."""
    return [typed("hardware", Hardware, node)[0] for node in choices("hardware") if node["name"] != "auto"]


def check(run: Run, here: Hardware | None = None) -> dict[str, Fit]:
    """Which lengths fit on this machine (or on ``here``), by variant and by what the reader lets the model read.

    On GPUs all variants are served alike but for what sets them apart: one split, as many prompts at once, all compiled
    or none.

    An engine that holds no model needs no room; a server elsewhere is asked for its limit. Raises NiahError where no
    length fits under any variant, and for what vLLM would refuse.
    """
    above = grid.above_limit(run.ctx, run.model.limit, run.model.name) if run.reader.reads_all else {}
    if run.kv.also and not run.engine.sets_kv_dtype:
        raise NiahError(
            "kv: a server has one KV cache; got several; start one with each type and run once for each, "
            "as kv=fp8 engine.base_url=..."
        )
    for speculation in run.spec.each():
        run.engine.check_speculation(speculation, run.model)
    known = known_hardware() if run.engine.holds_a_model else []
    hardware = share(here or _here(run, known), run) if run.engine.holds_a_model else run.hardware
    read = {length: num_read(run, length) for length in run.ctx.lengths if length not in above}

    def fit(variant: Variant) -> Fit:
        drafting = {"speculation": variant.spec} if variant.spec.is_on else {}
        found = variant.engine.fit(run.model, list(read.values()), variant.kv.dtype, hardware, known, **drafting)
        unfit = {length: found.unfit[num] for length, num in read.items() if num in found.unfit}
        return replace(found, unfit=above | unfit)

    fits = {variant.name: fit(variant) for variant in variants(run)}
    if all(one.refusal for one in fits.values()):
        raise NiahError(next(iter(fits.values())).refusal)
    if run.engine.wish() is None or not hardware.capability:
        return fits
    split = max(one.setup.tensor_parallel for one in fits.values() if not one.refusal)
    for variant in variants(run):
        if fits[variant.name].setup.tensor_parallel != split:
            fits[variant.name] = fit(replace(variant, engine=variant.engine.settled({"tensor_parallel_size": split})))
    return _settled(run, fits, hardware)


def _settled(run: Run, fits: Mapping[str, Fit], hardware: Hardware) -> dict[str, Fit]:
    """The fits with what the size of the run decides, for all variants what serves the most demanding of them."""
    wish, shape = run.engine.wish(), _shape(run)
    if wish is None or shape is None:
        return dict(fits)
    load = _load(run, fits)
    found = {
        name: serving.settled(shape, hardware, wish, fit.setup, load, longest(run, fit))
        for name, fit in fits.items() if not fit.refusal
    }
    number = min(setup.max_num_seqs for setup in found.values())
    alike = replace(wish, max_num_seqs=number)
    made: dict[str, Fit] = {}
    eager: bool | None = None
    for name, fit in fits.items():
        if name not in found:
            made[name] = fit
            continue
        setup = replace(fit.setup, max_num_seqs=number)
        if eager is None:
            eager = serving.settled(shape, hardware, alike, setup, load, longest(run, fit)).enforce_eager
        made[name] = replace(fit, setup=replace(setup, enforce_eager=eager))
    return made


def served(
    run: Run, fits: Mapping[str, Fit], here: Hardware | None = None
) -> tuple[Architecture, Hardware, defaults.Load] | None:
    """What a plan of the run's time and memory is reckoned from: the model's shape, the share of this machine that one
    engine has, and all that is asked of it. None where the engine takes no arguments from the plan, or the plan does
    not know the model."""
    shape = _shape(run) if run.engine.wish() else None
    return None if shape is None else (
        shape, share(here or _here(run, known_hardware()), run), _load(run, fits)
    )


def choice_lines(
    run: Run, fits: Mapping[str, Fit], here: Hardware | None = None, *, has_seconds: bool = True
) -> list[str]:
    """How the run is served on GPUs and why, how long it takes, and what of the GPUs it leaves unused, for a person;
    empty on CPUs and where the plan does not know the model. ``has_seconds`` is false where not all of the grid may be
    asked: then nobody knows how long it takes, nor what more GPUs would gain."""
    wish, shape = run.engine.wish(), _shape(run)
    fit = next((fit for fit in fits.values() if not fit.refusal), None)
    if wish is None or shape is None or fit is None or not fit.setup.capability:
        return []
    whole = here or _here(run, known_hardware())
    hardware, setup, load = share(whole, run), fit.setup, _load(run, fits)
    split = serving.split(shape, hardware, wish, replace(setup, tensor_parallel=1), longest(run, fit))
    why = split.why if split.size == setup.tensor_parallel else "as another variant needs it"
    parts = [f"tensor parallel {setup.tensor_parallel} ({why})", _at_once(setup, wish)]
    parts.append(_compiled(shape, hardware, setup, wish, load))
    seconds = defaults.expected(shape, hardware, setup, load)
    lines = [f"served with {', '.join(parts)}"]
    each = f" for each of {len(fits)} variants" if len(fits) > 1 else ""
    if seconds.reading and has_seconds:
        span = estimate.seconds_span
        again = f", the control sample again {span(seconds.control)}" if seconds.control else ""
        lines.append(
            f"the whole run takes {span(seconds.total)}{each}, an estimate: start {span(seconds.start)}, reading "
            f"{span(seconds.reading)}, writing {span(seconds.writing)}{again}"
        )
    used = run.engine.replicas * setup.tensor_parallel * setup.pipeline_parallel
    possible = whole.total_gpus // (setup.tensor_parallel * setup.pipeline_parallel)
    if used < whole.total_gpus:
        line = f"{used} of {whole.total_gpus} GPUs used"
        if has_seconds and seconds.reading and seconds.trials < defaults.STARTING_SECONDS:
            line += ": all trials take less than the start of another engine"
        elif has_seconds and possible > run.engine.replicas and whole.num_nodes == 1 and load.num_prompts > 1:
            gain = defaults.gain_of_replicas(possible, load, seconds)
            line += f"; engine.replicas={possible} shares the trials: about {gain:.1f} times as fast (needs niah[ray])"
        lines.append(line)
    return lines


def _at_once(setup: Setup, wish: serving.Wish) -> str:
    one = "1 prompt" if setup.max_num_seqs == 1 else f"{setup.max_num_seqs} prompts"
    return f"{one} at once" + (" (as asked for)" if wish.max_num_seqs else "")


def _compiled(
    shape: Architecture, hardware: Hardware, setup: Setup, wish: serving.Wish, load: defaults.Load
) -> str:
    word = "not compiled" if setup.enforce_eager else "compiled"
    if wish.enforce_eager is not None:
        return f"{word} (as asked for)"
    saved = defaults.saved_by_compiling(shape, hardware, setup, load)
    span = estimate.seconds_span(saved) if saved >= 1 else "nothing"
    return f"{word} (it would take {format_seconds(defaults.COMPILING_SECONDS)} and save {span})"


def settled(run: Run, fits: Mapping[str, Fit]) -> Run:
    """The run with what the plan chose on GPUs as settings of its engine: another run made of it is served alike."""
    fit = next((fit for fit in fits.values() if not fit.refusal), None)
    if fit is None or not fit.setup.capability:
        return run
    setup = fit.setup
    chosen = {
        "tensor_parallel_size": setup.tensor_parallel, "max_num_seqs": setup.max_num_seqs,
        "enforce_eager": setup.enforce_eager,
    }
    engine = run.engine.settled(chosen)
    settings = run.resolved["engine"]
    plain = {name: value for name, value in chosen.items() if name in settings and name not in engine.args}
    return replace(run, engine=engine, resolved={**run.resolved, "engine": {**settings, **plain}})


def _shape(run: Run) -> Architecture | None:
    """None for an architecture that the plan does not know."""
    try:
        return architecture.of(run.model)
    except architecture.UnknownArchitectureError:
        return None


def _load(run: Run, fits: Mapping[str, Fit]) -> defaults.Load:
    """The whole grid, of lengths that fit under one of the variants."""
    fitting = [length for length in run.ctx.lengths if any(length not in fit.unfit for fit in fits.values())]
    read = None if run.reader.reads_all else {length: num_read(run, length) for length in fitting}
    return defaults.load(
        run.ctx, fitting, run.task.answer_tokens, has_depth=run.task.has_depth, read=read,
        cold_share=run.engine.cold_check,
    )


def longest(run: Run, fit: Fit) -> int:
    """The most tokens that the model reads, of lengths that fit."""
    return max(num_read(run, length) for length in run.ctx.lengths if length not in fit.unfit)


def num_read(run: Run, length: int) -> int:
    """About how many tokens the model reads of a context, before there is a tokenizer to count the question."""
    if run.reader.reads_all:
        return length
    return min(length, run.reader.max_tokens(length, _NEEDLES) + _QUESTION + run.answer_tokens)


def share(hardware: Hardware, run: Run) -> Hardware:
    """What one of ``engine.replicas`` has of a machine. Where GPUs are asked for by number it has just those: the
    others may be on other machines.

    Raises NiahError where there are more replicas than GPUs, or a replica would have to live on several machines.
    """
    num = run.engine.replicas
    if num > 1 and hardware.num_nodes > 1:
        raise NiahError(
            f"engine.replicas: got {num} with hardware of {hardware.num_nodes} nodes; a replica lives on one machine: "
            "expected the nodes of one engine (engine.replicas=1), or one node's hardware and a Ray cluster "
            "(RAY_ADDRESS)"
        )
    if num == 1 or (hardware.capability and run.engine.tensor_parallel_size):
        return hardware
    if not hardware.capability:
        return replace(hardware, memory_gib=round(hardware.memory_gib / num, 1), label=f"1/{num} of {hardware.label}")
    if num > hardware.num_gpus:
        raise NiahError(
            f"engine.replicas: {num} asked for, {hardware.num_gpus} GPUs here; expected at most {hardware.num_gpus}, "
            "or on a Ray cluster (RAY_ADDRESS) engine.tensor_parallel_size=N, the GPUs of each"
        )
    return replace(hardware, num_gpus=hardware.num_gpus // num)


def notes(run: Run) -> list[str]:
    """What one should know of this machine, and of what drafts, before a model is loaded."""
    if not run.engine.holds_a_model:
        return []
    uncounted = (drafter.note(one, run.model) for one in run.spec.each() if one.is_on)
    return [*filter(None, (machine.note(), _slow(run), *uncounted))]


def _slow(run: Run) -> str:
    """Where vLLM computes on a processor that has no bfloat16 of its own."""
    in_float32 = run.model.dtype == "float32"
    if in_float32 or run.engine.wish() is None or environment.gpus() or environment.has_avx512():
        return ""
    return (
        f"this processor ({environment.cpu()}) has no AVX-512: vLLM takes several times as long in {run.model.dtype} "
        "as in float32 here; model.dtype=float32 kv=fp32 is another run, and a faster one"
    )


def serving_arguments(run: Run, fit: Fit, longest: int) -> dict[str, Any]:
    """The engine arguments that follow from what fits; none for an engine that takes none."""
    wish = run.engine.wish()
    return {} if wish is None else serving.arguments(fit.setup, longest, wish)


def engine_environment(longest: int) -> dict[str, str]:
    """A chunk at the end of millions of tokens takes longer than the five minutes that vLLM gives a step."""
    return {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600"} if longest >= serving.LONG else {}


def _here(run: Run, known: list[Hardware]) -> Hardware:
    """This machine, and as many more of its kind as ``hardware`` says: those cannot be seen from here."""
    own = machine.resolve(Hardware(), known)
    return replace(own, num_nodes=run.hardware.num_nodes) if own.capability else own
