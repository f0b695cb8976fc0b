"""The plan of a run's settings: what fits here, and the verb ``plan`` with its lines, object and picture."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from niah import plan, planner
from niah.compose import choices
from niah.config import Run, typed
from niah.errors import NiahError
from niah.planner import estimate, fit, machine, memory, table
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import Setup
from niah.units import format_length

_NEEDLES, _QUESTION = 1024, 1024
"""Tokens of needles and question, about: for the memory a reader needs that leaves text out."""


def known_hardware() -> list[Hardware]:
    """Every file of conf/hardware, one GPU each."""
    return [typed("hardware", Hardware, node)[0] for node in choices("hardware") if node["name"] != "auto"]


def check(run: Run) -> Fit:
    """Which lengths fit here, by what the reader lets the model read. An engine that holds no model needs no room."""
    above = plan.above_limit(run.ctx, run.model.limit, run.model.name) if run.reader.reads_all else {}
    if not hasattr(run.engine, "tensor_parallel_size"):
        return Fit(Setup(), above, is_known=False)
    known = known_hardware()
    read = {length: _num_read(run, length) for length in run.ctx.lengths if length not in above}
    found = fit.check(
        run.model, list(read.values()), run.kv.dtype, machine.resolve(Hardware(), known), known, run.engine.tensor_parallel_size
    )
    return replace(found, unfit=above | {length: found.unfit[num] for length, num in read.items() if num in found.unfit})


def _num_read(run: Run, length: int) -> int:
    """About how many tokens the model reads of a context, before there is a tokenizer to count the question."""
    if run.reader.reads_all:
        return length
    return min(length, run.reader.max_tokens(length, _NEEDLES) + _QUESTION + run.task.answer_tokens)


def exactly(run: Run) -> Iterator[str]:
    """What vLLM's own classes say of each length and KV dtype on this hardware; takes some seconds."""
    from niah.engines import exact

    hardware = machine.resolve(run.hardware, known_hardware())
    config = planner.config_of(run.model)
    split = run.engine.tensor_parallel_size if hasattr(run.engine, "tensor_parallel_size") else 0
    split = split or hardware.num_gpus
    cells = [(length, dtype) for length in sorted(set(run.ctx.lengths)) for dtype in planner.DTYPES]
    room = estimate.available_bytes(hardware) - memory.ENGINE_BYTES
    questions = [exact.Question(length, dtype, split, 16, memory.BATCH, room) for length, dtype in cells]
    weights = exact.ask(config, questions[:1])[0]["parameter_bytes"]
    if weights >= room:
        raise NiahError(
            f"plan exact=true: {weights / 2**30:.1f} GiB of weights on each GPU of {room / 2**30:.1f}; take more or larger GPUs"
        )
    answers = exact.ask(config, [replace(question, available_bytes=room - weights) for question in questions])
    yield f"vLLM's own classes, tensor parallel {split}: {weights / 2**30:.2f} GiB of weights, {(room - weights) / 2**30:.2f} GiB for the KV cache"
    for (length, dtype), answer in zip(cells, answers, strict=True):
        held = answer["hybrid"]
        told = held.get("refused") or f"KV cache size {held['num_tokens']:,} tokens, {held['concurrency']:.2f} requests of this length"
        yield f"{format_length(length):>8} {dtype:>9}  {told}"


def describe(run: Run, given: set[str], form: str, out: str) -> Iterator[str]:
    """Lines of the plan; with ``out`` a picture and the object are written there."""
    known = known_hardware()
    hardware = machine.resolve(run.hardware, known)
    dtypes = planner.DTYPES if "kv" not in given else tuple(dict.fromkeys((run.kv.dtype, *planner.DTYPES)))
    made = planner.make(run.model, run.ctx, hardware, known, [d for d in dtypes if d in memory.CACHE_BYTES])
    content = table.as_json(run.model.name, hardware, made.cells, made.sweeps)
    title = f"{run.model.label or run.model.path} ({run.model.weights} weights) on {hardware}"
    if form == "json":
        yield json.dumps(content)
    else:
        setup = made.cells[0].setup
        yield (
            f"{title}: tensor parallel {setup.tensor_parallel}"
            + (f", pipeline parallel {setup.pipeline_parallel}" if setup.pipeline_parallel > 1 else "")
            + f", {made.cells[0].available / 2**30:.1f} GiB of each for the engine"
        )
        yield from table.lines(hardware, made.cells, made.sweeps)
    if out:
        from niah.report import memory as chart

        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        picture = chart.draw(title, made.cells, folder / "plan.png", run.report.dpi)
        if form != "json":
            yield f"picture: {picture}"
