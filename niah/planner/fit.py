"""Before anything loads: which lengths of a run fit this machine, and what would do where none does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from niah.models.settings import Model
from niah.models.speculation import NONE, Speculation
from niah.planner import architecture, drafter, estimate, memory, serving
from niah.planner.architecture import Architecture
from niah.planner.hardware import Hardware, counted_machines
from niah.planner.memory import GIB, Setup
from niah.planner.serving import Wish
from niah.units import format_length

CPU_ENGINE_SHARE = 0.85
"""Of the machine's memory: the rest is Python's, the tokenizer's and the haystack's."""


@dataclass(frozen=True)
class Fit:
    """``unfit`` gives the reason for each length that has no room. ``setup`` is how the model would be served.

    Nothing is refused where the architecture or a number format is not known. ``refusal`` says, where no length
    fits, what is needed, what is here and what would do.
    """

    setup: Setup
    unfit: dict[int, str]
    refusal: str = ""


def check(
    model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware],
    wish: Wish = Wish(), speculation: Speculation = NONE,  # noqa: B008 - frozen
) -> Fit:
    """Raises NiahError for what vLLM would refuse."""
    try:
        shape = drafter.added(architecture.of(model), speculation, model)
    except architecture.UnknownArchitectureError:
        return Fit(serving.unplanned(hardware, wish, cache_dtype), {})
    setup = serving.setup(shape, hardware, wish, cache_dtype, model.weights, max(lengths), model.name)
    if not memory.counts(shape, cache_dtype) or model.weights not in memory.WEIGHT_BYTES:
        return Fit(setup, {})
    if hardware.capability:
        available = estimate.available_bytes(hardware, setup)
    else:
        available = int(hardware.memory_gib * GIB * CPU_ENGINE_SHARE)
    unfit = {}
    for length in sorted(set(lengths)):
        need = memory.need(shape, setup, length)
        if need.total > available:
            unfit[length] = (
                f"needs {need.total / GIB:.1f} GiB ({need.weights / GIB:.1f} weights, {need.cache / GIB:.1f} KV cache, "
                f"{(need.total - need.weights - need.cache) / GIB:.1f} else) "
                f"of the {available / GIB:.1f} GiB the engine may take"
            )
    none_fits = len(unfit) == len(set(lengths))
    refusal = _refusal(model, shape, setup, lengths, unfit[min(lengths)], hardware, known) if none_fits else ""
    return Fit(setup, unfit, refusal=refusal)


def _refusal(
    model: Model, shape: Architecture, setup: Setup, lengths: Sequence[int], reason: str, hardware: Hardware,
    known: Sequence[Hardware],
) -> str:
    """What is needed, what is here, and the three nearest things that would do."""
    machines = counted_machines(known)
    plain = replace(Setup(), weights=setup.weights, cache_dtype=setup.cache_dtype)

    def least(length: int, served: Setup = plain) -> Hardware | None:
        return estimate.least(shape, machines, served, length)

    shortest, longest = min(lengths), max(lengths)
    ways = []
    if found := least(shortest):
        ways.append(f"hardware {found}")
    size = memory.WEIGHT_BYTES[setup.weights]
    for name in sorted(model.formats, key=lambda name: -memory.WEIGHT_BYTES.get(name, size)):
        is_smaller = memory.WEIGHT_BYTES.get(name, size) < size
        if is_smaller and (found := least(shortest, replace(plain, weights=name))):
            ways.append(f"model.weights={name} on {found}")
    plainly, light = least(longest), least(longest, replace(plain, cache_dtype="fp8_e4m3"))
    if light and light != plainly:
        ways.append(f"kv=fp8 on {light} up to {format_length(longest)}")
    if plainly and longest != shortest:
        ways.append(f"up to {format_length(longest)} on {plainly}")
    ways.append("the contexts alone, with build")
    return (
        f"model={model.name}: no length of this run fits; the shortest, {format_length(shortest)}, {reason}; "
        f"here: {hardware.label or hardware}; would do: {'; '.join(ways[:3])}; "
        f"python -m niah plan model={model.name} has all"
    )
