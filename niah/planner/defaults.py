"""What the plan decides on GPUs where nothing was asked for: the split, prompts at once, compilation; and why.

All of it follows from the whole grid of a run, never from what is left of it, so that every variant and every
continuation is served alike. The seconds are estimates from the constants below: they choose, they are never results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

from niah.grid import Ladder
from niah.planner import estimate, memory
from niah.planner.architecture import Architecture
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB, Setup
from niah.units import format_length

ROOM = 0.95
"""Share of what the engine may take that a plan fills at most where more GPUs are there: its figures are estimates."""
KEPT_PROMPTS = 2
"""Prompts of the longest length that a split has cache for where layers slide over the text or keep states. Their cache
of a beginning is thrown out first: with room for one prompt vLLM 0.32's scheduler finds a half (Gemma 3 and 4) or a
fifth (Qwen3.5, each prompt also read twice) of what it finds with room for twenty, with two 73 to 81%. All is found
with one in full attention, 89% in Llama 4's chunks (tests/helpers/scheduling.py)."""
FOUND_WITH_ONE = {"sliding": 0.5, "state": 0.2, "chunked": 0.89}
FOUND_WITH_TWO = {"sliding": 0.75, "state": 0.75, "chunked": 0.89}
"""The same by kind of layer, with room for one prompt and for two."""
PATIENCE_SECONDS = 60.0
"""A cold prompt of the longest length that takes longer is split over more GPUs than it needs: engines that share the
trials (``engine.replicas``) make no single prompt faster."""
MAX_PROMPTS_AT_ONCE = 16
"""More than that gains little: by then nearly all of the time is reading."""
WRITING_TO_READING = 0.25
"""Writing may add this share to the seconds of reading: as many prompts are sent at once as that takes."""
EAGER_LAYER_SECONDS, GRAPH_LAYER_SECONDS = 250e-6, 50e-6
"""A layer's part of a step that writes one token, at least: kernels launched one by one from Python, or replayed from a
CUDA graph. Assumed, of the order that vLLM's users report: 7 to 10 ms a token for 32 layers without graphs."""
SUM_SECONDS = 15e-6
"""One all-reduce of a single token's activations: assumed, latency alone."""
MEMORY_BYTES_PER_SECOND = 2e12
"""What a GPU reads of its own memory: assumed, an A100's; weights are read once for each step of writing."""
COMPILING_SECONDS = 45.0
"""torch.compile and the capture of graphs at a start: assumed, of the order of vLLM's own log for models of 1 to 70
billion parameters (20 to 60 and 5 to 30 s). A second start finds compiled code on disk and takes less."""
COMPILED_READING_GAIN = 0.05
"""Share of reading that compiled code saves, where activations and norms are fused: assumed."""
STARTING_SECONDS, LOADED_BYTES_PER_SECOND = 20.0, 2e9
"""Processes, CUDA and memory profiling at a start, and weights from the page cache or a fast disk: assumed."""


@dataclass(frozen=True)
class Split:
    """``size`` GPUs share each layer; ``why``, for a person."""

    size: int
    why: str


@dataclass(frozen=True)
class Load:
    """What a run asks of an engine, whole. ``prompts`` are those of one repeat, in running order: tokens read, and how
    many of them the prompts before left in the cache. ``answer_tokens`` are the most that an answer may have,
    ``cold_share`` is the part that is asked again without cache."""

    prompts: tuple[tuple[int, int], ...]
    repeats: int
    answer_tokens: int
    cold_share: float = 0.0

    @property
    def num_prompts(self) -> int:
        return self.repeats * len(self.prompts)


@dataclass(frozen=True)
class Expected:
    """Seconds of a run by the constants of this module: ``start`` with ``compiling``; ``reading`` with prefix reuse and
    ``cold`` without; ``writing`` as prompts at once share it; ``control``, those asked again without cache."""

    start: float
    reading: float
    cold: float
    writing: float
    control: float

    @property
    def trials(self) -> float:
        return self.reading + self.writing

    @property
    def total(self) -> float:
        return self.start + self.trials + self.control


def load(
    ladder: Ladder, lengths: Sequence[int], answer_tokens: int, *, has_depth: bool = True,
    read: Mapping[int, int] | None = None, cold_share: float = 0.0,
) -> Load:
    """The load of the ``lengths`` of a ladder that have room. ``read`` gives the tokens that the model reads of each
    where a reader leaves text out: then prompts share no beginnings."""
    prompts = estimate.of_one_repeat(ladder, lengths, has_depth=has_depth)
    if read:
        prompts = [(read[length], 0) for length, _ in prompts]
    return Load(tuple(prompts), ladder.repeats, answer_tokens, cold_share)


def found_share(architecture: Architecture, num_kept: float) -> float:
    """Share of the beginnings that prompts have in common which the engine still finds, where its cache has room for
    ``num_kept`` of the longest and not for all of a repeat. Full attention finds all in the order that a run takes
    there (runs/beginnings.py)."""
    shares = FOUND_WITH_ONE if num_kept < KEPT_PROMPTS else FOUND_WITH_TWO
    return min(shares.get(layer.kind, 1.0) for layer in architecture.layers)


def split(
    architecture: Architecture, hardware: Hardware, setup: Setup, possible: Sequence[int], longest: int
) -> Split:
    """The fewest of the ``possible`` numbers of GPUs that hold ``longest`` tokens with ``ROOM``, or more of them where
    one such prompt takes minutes. All where not even those hold it, or a number format is not counted here."""
    most = max(possible)
    if most == 1:
        return Split(1, "the only way")
    if setup.cache_dtype not in memory.COUNTED_DTYPES:
        setup = replace(setup, cache_dtype="bfloat16")  # no smaller than what is not counted
    if setup.weights not in memory.WEIGHT_BYTES:
        return Split(most, f"all that share its heads: {setup.weights} weights are not counted")
    available = estimate.available_bytes(hardware, setup)
    forgets = setup.prefix_caching and any(layer.kind in ("sliding", "state") for layer in architecture.layers)
    needs = {size: memory.need(architecture, replace(setup, tensor_parallel=size), longest) for size in possible}
    taken = {size: need.total for size, need in needs.items()}
    holding = [size for size in possible if taken[size] <= available]
    if not holding:
        return Split(most, f"{format_length(longest)} has no room on fewer")
    kept = {size: (KEPT_PROMPTS - 1) * needs[size].cache if forgets else 0 for size in possible}
    roomy = [size for size in holding if taken[size] + kept[size] <= ROOM * available]
    fewest = min(roomy, default=max(holding))
    why = f"{format_length(longest)} takes {taken[fewest] / GIB:.1f} of {available / GIB:.1f} GiB"
    if smaller := [size for size in possible if size < fewest]:
        before = taken[smaller[-1]]
        why += f", on {smaller[-1]} {before / GIB:.1f}"
    work = estimate.operations(architecture, longest, 0)
    seconds = {
        size: estimate.seconds_of(work, hardware, replace(setup, tensor_parallel=size))
        for size in possible if size >= fewest
    }
    if seconds[fewest] <= PATIENCE_SECONDS:
        return Split(fewest, why)
    span, quick = estimate.seconds_span, [size for size in seconds if seconds[size] <= PATIENCE_SECONDS]
    chosen = min(quick) if quick else min(seconds, key=lambda size: seconds[size])
    if chosen == fewest:
        return Split(fewest, why)
    return Split(
        chosen,
        f"a cold prompt of {format_length(longest)} takes {span(seconds[chosen])}, {span(seconds[fewest])} on {fewest},"
        " the fewest that hold it",
    )


def prompts_at_once(architecture: Architecture, hardware: Hardware, setup: Setup, of: Load, longest: int) -> int:
    """How many prompts keep a GPU reading while others write, as far as the cache holds so many of the longest.

    One where the GPU's speed or the size of its cache is not known.
    """
    reading, _ = _reading(architecture, hardware, setup, of)
    if not reading or setup.cache_dtype not in memory.COUNTED_DTYPES or setup.weights not in memory.WEIGHT_BYTES:
        return 1
    step = step_seconds(architecture, replace(setup, enforce_eager=True))
    writing = of.num_prompts * of.answer_tokens * step
    wanted = min(MAX_PROMPTS_AT_ONCE, of.num_prompts, ceil(writing / (WRITING_TO_READING * reading)))
    for number in range(wanted, 1, -1):
        if floor(_held(architecture, hardware, replace(setup, max_num_seqs=number), longest)) >= number:
            return number
    return 1


def is_eager(architecture: Architecture, hardware: Hardware, setup: Setup, of: Load) -> bool:
    """Whether compiling and capturing graphs would take longer than all that they save."""
    return saved_by_compiling(architecture, hardware, setup, of) <= COMPILING_SECONDS


def saved_by_compiling(architecture: Architecture, hardware: Hardware, setup: Setup, of: Load) -> float:
    """Seconds of one variant of a run."""
    reading, _ = _reading(architecture, hardware, setup, of)
    slow, fast = (step_seconds(architecture, replace(setup, enforce_eager=eager)) for eager in (True, False))
    return COMPILED_READING_GAIN * reading + _num_steps(setup, of) * (slow - fast)


def expected(architecture: Architecture, hardware: Hardware, setup: Setup, of: Load) -> Expected:
    """How long a run takes that is served so; reading is 0 where the GPU's speed is not known."""
    reading, cold = _reading(architecture, hardware, setup, of)
    weights = memory.weight_bytes(architecture, setup) if setup.weights in memory.WEIGHT_BYTES else 0
    start = STARTING_SECONDS + weights / LOADED_BYTES_PER_SECOND + (0 if setup.enforce_eager else COMPILING_SECONDS)
    if not setup.enforce_eager:
        reading, cold = (seconds * (1 - COMPILED_READING_GAIN) for seconds in (reading, cold))
    writing = _num_steps(setup, of) * step_seconds(architecture, setup)
    num_again = num_cold(of) if setup.prefix_caching else 0
    return Expected(start, reading, cold, writing, num_again / max(1, of.num_prompts) * cold)


def num_cold(of: Load) -> int:
    """Prompts that are asked again without cache: those that used it, one at least."""
    return max(1, ceil(of.cold_share * of.num_prompts)) if of.cold_share and any(kept for _, kept in of.prompts) else 0


def step_seconds(
    architecture: Architecture, setup: Setup, cache_bytes: float = 0.0,
    bytes_per_second: float = MEMORY_BYTES_PER_SECOND,
) -> float:
    """Seconds of a step in which each prompt at work writes one token: launches, or reading the weights, and
    ``cache_bytes`` of keys and values, from memory. A layer has two parts; GPUs that share it talk after each."""
    parts = architecture.num_parts
    launches = parts / 2 * (EAGER_LAYER_SECONDS if setup.enforce_eager else GRAPH_LAYER_SECONDS)
    sums = parts * SUM_SECONDS if setup.tensor_parallel > 1 else 0.0
    weights = memory.active_bytes(architecture, setup.weights) / setup.tensor_parallel
    return max(launches, (weights + cache_bytes) / bytes_per_second + sums)


def token_seconds(architecture: Architecture, hardware: Hardware, setup: Setup, cache_bytes: int) -> float:
    """Seconds of one more token of an answer for a request alone, whose keys and values take ``cache_bytes`` of each
    GPU: ``step_seconds`` at this GPU's memory rate. 0 without a GPU, or for weights of unknown size."""
    if not hardware.capability or setup.weights not in memory.WEIGHT_BYTES:
        return 0.0
    rate = hardware.memory_tb_s * 1e12 or MEMORY_BYTES_PER_SECOND
    # stages write one after the other, each from its own part
    return step_seconds(architecture, setup, cache_bytes * setup.pipeline_parallel, rate)


def gain_of_replicas(replicas: int, of: Load, seconds: Expected) -> float:
    """About how many times faster the trials are with so many engines: repeats dealt whole, or where there are too few
    of them cut, each part with a beginning of its own to read."""
    whole = of.repeats / ceil(of.repeats / replicas)
    if not seconds.trials:
        return whole
    num_parts = min(replicas, of.num_prompts)
    return max(whole, seconds.trials / ((seconds.cold + seconds.writing) / num_parts))


def _num_steps(setup: Setup, of: Load) -> float:
    return of.num_prompts * of.answer_tokens / max(1, min(setup.max_num_seqs, of.num_prompts))


def _reading(architecture: Architecture, hardware: Hardware, setup: Setup, of: Load) -> tuple[float, float]:
    """Seconds of reading all prompts, with what the cache gives and without."""
    reading = cold = 0.0
    for length, kept in of.prompts:
        start = kept if setup.prefix_caching else 0
        reading += estimate.seconds_of(estimate.operations(architecture, length, start), hardware, setup)
        cold += estimate.seconds_of(estimate.operations(architecture, length, 0), hardware, setup)
    return of.repeats * reading, of.repeats * cold


def _held(architecture: Architecture, hardware: Hardware, setup: Setup, longest: int) -> float:
    """Prompts of the longest length that the cache holds at once."""
    left = ROOM * estimate.available_bytes(hardware, setup) - memory.need(architecture, setup, longest).fixed
    room = min(left, setup.cache_bytes or left)
    return memory.pool(architecture, setup).concurrency(
        int(room), longest, setup.in_flight, dcp=setup.decode_context_parallel, prefix_caching=setup.prefix_caching
    )
