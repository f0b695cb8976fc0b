"""What the plan says of a run before it begins, kept in run.json: the page shows it beside what was measured."""

from collections.abc import Mapping, Sequence

from niah import grid
from niah.config import Run
from niah.planner import defaults, estimate, memory
from niah.planner.architecture import Architecture
from niah.planner.cpu import LEAST_CACHE_BYTES
from niah.planner.fit import CPU_ENGINE_SHARE, Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB, Setup
from niah.records import Trial
from niah.runs import capacity
from niah.units import format_length, format_range

Expectation = dict[str, float]


def expected(run: Run, fits: Mapping[str, Fit], here: Hardware | None = None) -> dict[str, Expectation]:
    """By variant, of the whole grid on this machine (or on ``here``); none for an engine that takes no arguments from
    the plan, and for a model that the plan does not know.

    ``memory_gib`` is what the longest prompt needs of each GPU (else of the machine), ``available_gib`` what the engine
    may take, ``kv_cache_tokens`` the room for keys and values as vLLM counts it. Seconds are those of one variant: its
    start, its trials, its control sample; where the plan knows the GPU's price ``dollars`` are those of them together.
    What it does not know is left out.
    """
    found = capacity.served(run, fits, here)
    if found is None:
        return {}
    shape, hardware, load = found
    return {
        name: {**_memory(run, shape, hardware, fit), **_time(run, shape, hardware, fit.setup, load)}
        for name, fit in fits.items() if not fit.refusal
    }


def line(found: Mapping[str, Expectation], *, has_price: bool = True) -> str:
    """The plan of the first variant for a person; empty where there is none. How long, ``capacity.choice_lines`` says.
    ``has_price`` is false where not all of the grid may be asked."""
    first = next(iter(found.values()), {})
    if "memory_gib" not in first:
        return ""
    each = " of each GPU" if "kv_cache_tokens" in first else ""
    text = f"plan: {first['memory_gib']:.1f} of {first['available_gib']:.1f} GiB{each} at the longest length"
    if has_price and (dollars := first.get("dollars")):
        text += f", ${format_range(dollars / estimate.SPREAD, dollars * estimate.SPREAD)} (an estimate)"
    return text


def cache_line(run: Run, fits: Mapping[str, Fit], here: Hardware | None = None) -> str:
    """Where the first variant's cache does not hold the prompts of a repeat: how many it holds, and what that costs.
    Empty where it holds them, or nobody knows."""
    found = capacity.served(run, fits, here)
    fit = next((fit for fit in fits.values() if not fit.refusal), None)
    if found is None or fit is None or not (run.reader.reads_all and fit.setup.prefix_caching and found[2].prompts):
        return ""
    shape, hardware, load = found
    longest, room = capacity.longest(run, fit), _room(shape, hardware, fit.setup, capacity.longest(run, fit))
    sent, reused = (sum(numbers) for numbers in zip(*load.prompts, strict=True))
    if not room or not reused or sent - reused <= room:
        return ""
    kept = room / longest
    line = (
        f"prefix cache: room for {kept:.1f} prompts of {format_length(longest)}, and those of a repeat take about "
        f"{sent - reused:,} tokens"
    )
    share = defaults.found_share(shape, kept)
    if share == 1:
        return f"{line}; they go depth first through what they share, so that no beginning is computed twice"
    return (
        f"{line}; layers that do not look at all of the text lose some: about {share:.0%} of what prompts share is "
        f"found, {round((1 - share) * reused):,} tokens more to compute in each repeat (an estimate)"
    )


def to_compute(run: Run, todo: Mapping[str, Sequence[Trial]]) -> str:
    """How many prompt tokens these trials (by variant) are, and how many of them an engine has to compute, about."""
    if not (run.engine.holds_a_model and run.reader.reads_all):
        return ""
    sent = sum(trial.length - run.answer_tokens for trials in todo.values() for trial in trials)
    reused = sum(sum(grid.expected_reuse(trials, run.ctx.share)) for trials in todo.values())
    if not run.engine.prefix_caching or not reused:
        return f" ({sent:,} prompt tokens)"
    return f" ({sent:,} prompt tokens, about {sent - reused:,} to compute)"


def _memory(run: Run, shape: Architecture, hardware: Hardware, fit: Fit) -> Expectation:
    setup, longest = fit.setup, capacity.longest(run, fit)
    if not memory.counts(shape, setup.cache_dtype) or setup.weights not in memory.WEIGHT_BYTES:
        return {}
    need = memory.need(shape, setup, longest)
    if not hardware.capability:  # the engine is given room for two prompts, however much there is
        available = hardware.memory_gib * CPU_ENGINE_SHARE
        return {"memory_gib": round(need.total / GIB, 3), "available_gib": round(available, 3)}
    available = estimate.available_bytes(hardware, setup)
    return {
        "memory_gib": round(need.total / GIB, 3), "available_gib": round(available / GIB, 3),
        "kv_cache_tokens": _room(shape, hardware, setup, longest),
    }


def _room(shape: Architecture, hardware: Hardware, setup: Setup, longest: int) -> int:
    """Tokens that the cache has room for, 0 where that is not counted. On CPUs the engine is given room for two
    prompts."""
    if not memory.counts(shape, setup.cache_dtype) or setup.weights not in memory.WEIGHT_BYTES:
        return 0
    pool, in_flight = memory.pool(shape, setup), setup.in_flight
    if setup.cache_bytes:
        room = setup.cache_bytes
    elif hardware.capability:
        room = estimate.available_bytes(hardware, setup) - memory.need(shape, setup, longest).fixed
    else:
        one = pool.required_bytes(longest, in_flight, prefix_caching=setup.prefix_caching)
        room = max(LEAST_CACHE_BYTES, 2 * one)
    return pool.num_tokens(
        room, longest, in_flight, dcp=setup.decode_context_parallel, prefix_caching=setup.prefix_caching
    )


def _time(run: Run, shape: Architecture, hardware: Hardware, setup: Setup, load: defaults.Load) -> Expectation:
    seconds = defaults.expected(shape, hardware, setup, load)
    if not seconds.reading:
        return {}
    replicas = run.engine.replicas
    trials = seconds.trials / (defaults.gain_of_replicas(replicas, load, seconds) if replicas > 1 else 1)
    total, num_gpus = seconds.start + trials + seconds.control, replicas * setup.num_gpus
    found = {
        "start_seconds": round(seconds.start, 2), "trials_seconds": round(trials, 2),
        "control_seconds": round(seconds.control, 2), "seconds": round(total, 2), "num_gpus": num_gpus,
    }
    if price := hardware.dollars_per_gpu_hour:
        found |= {"dollars_per_gpu_hour": price, "dollars": round(total * num_gpus * price / 3600, 4)}
    return found
