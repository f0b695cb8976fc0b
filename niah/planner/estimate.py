"""Fits or not, how long, how much: one model on one machine, for each length and KV dtype."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from niah.grid import Ladder, expected_reuse, in_running_order, trials
from niah.planner import attention, memory
from niah.planner.architecture import Architecture
from niah.planner.flops import Attention, Prefill, prefill
from niah.planner.hardware import Hardware
from niah.planner.layer import Layer
from niah.planner.memory import Need, Setup
from niah.units import format_range

LINEAR_EFFICIENCY = 0.45
ATTENTION_EFFICIENCY = 0.5
"""Shares of peak TFLOPS reached in long prefills: assumed, of the order that FlashAttention 3 reports."""
LINK_EFFICIENCY = 0.7
"""Share of a link's data-sheet rate that sums over GPUs reach: assumed, of the order that NCCL's own tests show."""
SPREAD = 1.5
"""Seconds and dollars are told as a range from that part of the estimate to that multiple of it: from two thirds of the
efficiencies above to one and a half of them."""


@dataclass(frozen=True)
class Cell:
    """One length under one KV dtype. Seconds and dollars are those of reading one cold prompt, on the GPUs that are
    used of the machine.

    ``longest`` is the longest length that fits this machine with this KV dtype, ``least`` the cheapest
    machine of the list that holds this one. The model reads ``num_read`` tokens of the length, and at most ``limit``.
    ``at_once`` requests of it have room together; each further token of an answer of one alone takes ``token_seconds``,
    0 where that is not known.
    """

    length: int
    cache_dtype: str
    setup: Setup
    need: Need
    available: int
    longest: int
    prefill: Prefill
    seconds: float
    dollars: float
    num_read: int
    limit: int
    at_once: int
    token_seconds: float = 0.0
    least: str = ""

    @property
    def fits(self) -> bool:
        return self.need.total <= self.available and not self.is_above_limit

    @property
    def is_above_limit(self) -> bool:
        return self.num_read > self.limit


@dataclass(frozen=True)
class Sweep:
    """A whole grid: GPU-hours are those of the GPUs that are used; cold means without prefix reuse. Tokens are those of
    prompts and answers, and those of them that no earlier prompt begins with."""

    num_trials: int
    num_tokens: int
    computed_tokens: int
    seconds: float
    cold_seconds: float
    gpu_hours: float
    dollars: float


def seconds_span(about: float) -> str:
    """An estimate of seconds as the range that it stands for."""
    return format_range(about / SPREAD, about * SPREAD, "s")


def available_bytes(hardware: Hardware, setup: Setup = Setup()) -> int:  # noqa: B008 - frozen
    """What the engine may take of one GPU."""
    return int(hardware.memory_gib * memory.GIB * setup.utilization)


def setup_for(architecture: Architecture, hardware: Hardware, base: Setup) -> Setup:
    """All GPUs of a node split each layer, as far as heads divide; nodes split the layers."""
    split = max(memory.splits(architecture, hardware.num_gpus))
    return replace(base, tensor_parallel=split, pipeline_parallel=hardware.num_nodes, capability=hardware.capability)


def cell(architecture: Architecture, hardware: Hardware, setup: Setup, length: int, limit: int) -> Cell:
    """The cell of one length; ``limit`` is the longest that the model reads, in tokens."""
    need = memory.need(architecture, setup, length)
    available = available_bytes(hardware, setup)
    pool = memory.pool(architecture, setup)
    longest = pool.longest(
        available - memory.need(architecture, setup, limit).fixed, limit, setup.in_flight,
        dcp=setup.decode_context_parallel, prefix_caching=setup.prefix_caching,
    )
    at_once = pool.concurrency(
        max(0, available - need.fixed), length, setup.in_flight, dcp=setup.decode_context_parallel,
        prefix_caching=setup.prefix_caching,
    )
    work = operations(architecture, length, 0)
    seconds = seconds_of(work, hardware, setup)
    return Cell(
        length, setup.cache_dtype, setup, need, available, longest, work, seconds,
        seconds * setup.num_gpus * hardware.dollars_per_gpu_hour / 3600, length, limit, int(at_once),
    )


def least(
    architecture: Architecture, machines: Sequence[Hardware], base: Setup, length: int
) -> Hardware | None:
    """The cheapest of the machines on which this length fits, one node before two; None where none does. A machine
    without a price is none of them."""
    priced = [one for one in machines if one.dollars_per_gpu_hour]
    by_price = sorted(priced, key=lambda one: (one.num_nodes, one.total_gpus * one.dollars_per_gpu_hour))
    for hardware in by_price:
        setup = setup_for(architecture, hardware, base)
        if setup.tensor_parallel != hardware.num_gpus:
            continue
        if not attention.serving(architecture, base.cache_dtype, hardware.capability):
            continue
        if memory.need(architecture, setup, length).total <= available_bytes(hardware, setup):
            return hardware
    return None


def operations(architecture: Architecture, length: int, start: int) -> Prefill:
    """Operations of reading a prompt of which ``start`` tokens are cached."""
    layers = [part for layer in architecture.layers if layer.attends for part in _attention(layer)]
    exchanged = architecture.num_parts * (length - start) * architecture.hidden_size * 2
    return replace(prefill(length, start, architecture.active_parameters, layers), exchanged=float(exchanged))


def _attention(layer: Layer) -> list[Attention]:
    """What a layer computes of pairs of tokens: an indexer takes products of all, without values."""
    own = Attention(
        1, layer.heads, layer.key_width + layer.value_width, layer.window or layer.selected, layer.kind == "chunked"
    )
    return [own, Attention(1, layer.index_heads, layer.index_width)] if layer.index_heads else [own]


def seconds_of(work: Prefill, hardware: Hardware, setup: Setup) -> float:
    """Seconds at the assumed efficiencies, over the GPUs that share a prompt's work and have to talk for it."""
    if not hardware.bf16_tflops:
        return 0.0
    gpus = setup.tensor_parallel  # stages work one after the other on a single prompt
    linear = hardware.fp8_tflops if setup.weights == "fp8" and hardware.fp8_tflops else hardware.bf16_tflops
    return (
        work.linear / (gpus * linear * 1e12 * LINEAR_EFFICIENCY)
        + work.attention / (gpus * hardware.bf16_tflops * 1e12 * ATTENTION_EFFICIENCY)
        + _talking(work.exchanged, gpus, hardware)
    )


def _talking(exchanged: float, gpus: int, hardware: Hardware) -> float:
    """Seconds of all-reduces in a ring: each GPU sends 2 (n - 1) / n of the bytes."""
    if gpus == 1 or not hardware.link_gb_s:
        return 0.0
    return 2 * (gpus - 1) / gpus * exchanged / (hardware.link_gb_s * 1e9 * LINK_EFFICIENCY)


def sweep(
    architecture: Architecture, hardware: Hardware, setup: Setup, ladder: Ladder, longest: int, *,
    has_depth: bool = True,
) -> Sweep:
    """The grid's lengths up to ``longest``, in the order in which they run."""
    prompts = of_one_repeat(ladder, [length for length in ladder.lengths if length <= longest], has_depth=has_depth)
    seconds = cold = 0.0
    num_tokens = ladder.repeats * sum(length for length, _ in prompts)
    reused = ladder.repeats * sum(start for _, start in prompts)
    for length, start in prompts:
        seconds += ladder.repeats * seconds_of(operations(architecture, length, start), hardware, setup)
        cold += ladder.repeats * seconds_of(operations(architecture, length, 0), hardware, setup)
    gpu_hours = seconds * setup.num_gpus / 3600
    num_trials = ladder.repeats * len(prompts)
    return Sweep(
        num_trials, num_tokens, num_tokens - reused, seconds, cold, gpu_hours, gpu_hours * hardware.dollars_per_gpu_hour
    )


def of_one_repeat(ladder: Ladder, lengths: Sequence[int], *, has_depth: bool = True) -> list[tuple[int, int]]:
    """The prompts of one repeat in running order, those of ``lengths`` alone: tokens, and how many of them are cached.

    All repeats are alike: their prompts share no beginnings with those of another.
    """
    one = in_running_order(trials(replace(ladder, repeats=1), has_depth=has_depth), ladder.share)
    ordered = [trial for trial in one if trial.length in lengths]
    reused = expected_reuse(ordered, ladder.share)
    return [(trial.length, num) for trial, num in zip(ordered, reused, strict=True)]
