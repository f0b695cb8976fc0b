"""Which lengths of a run fit, on this machine or another, before anything is loaded."""

from dataclasses import replace
from typing import Any

from niah import grid
from niah.choices import choices
from niah.config import Run, typed
from niah.errors import NiahError
from niah.planner import machine, serving
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.runs.variants import variants

_NEEDLES, _QUESTION = 1024, 1024
"""Tokens of needles and question, about: for the memory a reader needs that leaves text out."""


def known_hardware() -> list[Hardware]:
    """Every file of conf/hardware, one GPU each."""
    return [typed("hardware", Hardware, node)[0] for node in choices("hardware") if node["name"] != "auto"]


def check(run: Run, here: Hardware | None = None) -> dict[str, Fit]:
    """Which lengths fit on this machine (or on ``here``), by variant and by what the reader lets the model read.

    An engine that holds no model needs no room; a server elsewhere is asked for its limit. Raises NiahError where no
    length fits under any variant, and for what vLLM would refuse.
    """
    above = grid.above_limit(run.ctx, run.model.limit, run.model.name) if run.reader.reads_all else {}
    if run.kv.also and not run.engine.sets_kv_dtype:
        raise NiahError(
            "kv: a server has one KV cache; got several; start one with each type and run once for each, "
            "as kv=fp8 engine.base_url=..."
        )
    known = known_hardware() if run.engine.holds_a_model else []
    hardware = share(here or _here(run, known), run) if run.engine.holds_a_model else run.hardware
    read = {length: num_read(run, length) for length in run.ctx.lengths if length not in above}
    fits = {}
    for variant in variants(run):
        found = variant.engine.fit(run.model, list(read.values()), variant.kv.dtype, hardware, known)
        unfit = {length: found.unfit[num] for length, num in read.items() if num in found.unfit}
        fits[variant.name] = replace(found, unfit=above | unfit)
    if all(one.refusal for one in fits.values()):
        raise NiahError(next(iter(fits.values())).refusal)
    return fits


def num_read(run: Run, length: int) -> int:
    """About how many tokens the model reads of a context, before there is a tokenizer to count the question."""
    if run.reader.reads_all:
        return length
    return min(length, run.reader.max_tokens(length, _NEEDLES) + _QUESTION + run.task.answer_tokens)


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
