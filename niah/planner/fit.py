"""Before anything loads: which lengths of a run fit this machine, and what would do where none does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from niah.errors import NiahError
from niah.model import Model
from niah.planner import architecture, config_of, cpu, estimate, memory
from niah.planner.architecture import Architecture
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB, Setup
from niah.units import format_length

_CPU_ENGINE_SHARE = 0.85
"""Of the machine's memory: the rest is Python's, the tokenizer's and the haystack's."""


@dataclass(frozen=True)
class Fit:
    """``unfit`` gives the reason for each length that has no room. ``setup`` is how the model would be served.

    ``is_known`` is false where the architecture or a number format is not: then nothing is refused here.
    """

    setup: Setup
    unfit: dict[int, str]
    is_known: bool = True


def check(
    model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware],
    tensor_parallel: int = 0,
) -> Fit:
    """Raises NiahError where no length fits, with what is needed, what is here and what would do."""
    try:
        shape = architecture.read(config_of(model), f"model.path={model.path}")
    except NiahError as error:
        if "is not known to the fast plan" not in str(error):
            raise
        return Fit(Setup(tensor_parallel=tensor_parallel or 1), {}, is_known=False)
    if cache_dtype not in memory.CACHE_BYTES or model.weights not in memory.WEIGHT_BYTES:
        return Fit(Setup(tensor_parallel=tensor_parallel or 1), {}, is_known=False)
    base = Setup(weights=model.weights, cache_dtype=cache_dtype)
    if hardware.capability:
        setup = estimate.setup_for(shape, hardware, base)
        setup = replace(setup, tensor_parallel=tensor_parallel) if tensor_parallel else setup
        available = estimate.available_bytes(hardware)
    else:
        setup = cpu.served(shape, base, max(lengths))
        available = int(hardware.memory_gib * GIB * _CPU_ENGINE_SHARE)
    unfit = {}
    for length in sorted(set(lengths)):
        need = memory.need(shape, setup, length)
        if need.total > available:
            unfit[length] = (
                f"needs {need.total / GIB:.1f} GiB ({need.weights / GIB:.1f} weights, {need.cache / GIB:.1f} KV cache, "
                f"{(need.total - need.weights - need.cache) / GIB:.1f} else) of the {available / GIB:.1f} GiB the engine may take"
            )
    if len(unfit) == len(set(lengths)):
        raise NiahError(_refusal(model, shape, setup, min(lengths), unfit[min(lengths)], hardware, known))
    return Fit(setup, unfit)


def _refusal(
    model: Model, shape: Architecture, setup: Setup, length: int, reason: str, hardware: Hardware, known: Sequence[Hardware]
) -> str:
    """What is needed, what is here, and the three nearest things that would do."""
    machines = [replace(one, num_gpus=count) for one in known for count in (1, 2, 4, 8)]
    ways = []
    plain = replace(Setup(), weights=setup.weights, cache_dtype=setup.cache_dtype)
    if least := estimate.least(shape, machines, plain, length):
        ways.append(f"hardware {least} (see python -m niah plan model={model.name})")
    for name in model.formats:
        lighter = replace(plain, weights=name)
        if name in memory.WEIGHT_BYTES and memory.WEIGHT_BYTES[name] < memory.WEIGHT_BYTES[setup.weights]:
            if least := estimate.least(shape, machines, lighter, length):
                ways.append(f"model.weights={name} on {least}")
            break
    if setup.cache_dtype == "bfloat16" and (least := estimate.least(shape, machines, replace(plain, cache_dtype="fp8_e4m3"), max(length, 131_072))):
        ways.append(f"kv=fp8 for long lengths (128K on {least})")
    ways.append("the contexts alone: python -m niah build")
    return (
        f"model={model.name}: no length of this run fits; the shortest, {format_length(length)}, {reason}; here: {hardware.label or hardware}; "
        f"would do: {'; '.join(ways[:3])}"
    )
