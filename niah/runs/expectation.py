"""What the plan says of a run before it begins, kept in run.json: the page shows it beside what was measured."""

from collections.abc import Mapping, Sequence

from niah import grid
from niah.config import Run
from niah.planner import defaults, estimate, memory
from niah.planner.architecture import Architecture
from niah.planner.fit import CPU_ENGINE_SHARE, Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB, Setup
from niah.records import Trial
from niah.runs import capacity
from niah.units import format_range

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


def line(found: Mapping[str, Expectation]) -> str:
    """The plan of the first variant for a person; empty where there is none. How long, ``capacity.choice_lines`` says.
    """
    first = next(iter(found.values()), {})
    if "memory_gib" not in first:
        return ""
    each = " of each GPU" if "kv_cache_tokens" in first else ""
    text = f"plan: {first['memory_gib']:.1f} of {first['available_gib']:.1f} GiB{each} at the longest length"
    if dollars := first.get("dollars"):
        text += f", ${format_range(dollars / estimate.SPREAD, dollars * estimate.SPREAD)} (an estimate)"
    return text


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
    tokens = memory.pool(shape, setup).num_tokens(
        setup.cache_bytes or available - need.fixed, longest, setup.in_flight, dcp=setup.decode_context_parallel,
        prefix_caching=setup.prefix_caching,
    )
    return {
        "memory_gib": round(need.total / GIB, 3), "available_gib": round(available / GIB, 3), "kv_cache_tokens": tokens,
    }


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
