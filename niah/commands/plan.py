"""The plan of a run's settings: what fits here, and the verb ``plan`` with its lines, object and picture."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from niah import grid, planner
from niah.choices import choices
from niah.commands import hydra
from niah.commands.report import make, write
from niah.commands.words import own_words
from niah.config import Run, build, typed
from niah.errors import NiahError
from niah.models.resolve import config_of
from niah.planner import estimate, machine, memory, nodes, serving, table
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB, Setup
from niah.planner.serving import Wish
from niah.runs.variants import variants
from niah.units import format_length

_NEEDLES, _QUESTION = 1024, 1024
"""Tokens of needles and question, about: for the memory a reader needs that leaves text out."""


def main(words: list[str]) -> int:
    """Exit code of ``plan WORDS [format=json] [out=DIR] [exact=true]``."""
    own, rest = own_words({"out": "", "format": "text", "exact": "false"}, words)
    if own["format"] not in ("text", "json"):
        raise NiahError(f"plan format: got {own['format']!r}; expected text or json")

    def show(config: Any) -> int:
        run = build(config)
        is_exact = own["exact"].casefold() == "true"
        for line in exactly(run) if is_exact else describe(run, rest, own["format"], own["out"]):
            print(line)
        return 0

    return hydra.run(hydra.adapted(rest), show)


def known_hardware() -> list[Hardware]:
    """Every file of conf/hardware, one GPU each."""
    return [typed("hardware", Hardware, node)[0] for node in choices("hardware") if node["name"] != "auto"]


def check(run: Run, here: Hardware | None = None) -> dict[str, Fit]:
    """Which lengths fit on this machine (or on ``here``), by variant and by what the reader lets the model read.

    An engine that holds no model needs no room; a server elsewhere is asked for its limit. Raises NiahError where no
    length fits under any variant, and for what vLLM would refuse.
    """
    arms = variants(run)
    above = grid.above_limit(run.ctx, run.model.limit, run.model.name) if run.reader.reads_all else {}
    if run.kv.also and not run.engine.sets_kv_dtype:
        raise NiahError(
            "kv: a server has one KV cache; got several; start one with each type and run once for each, as kv=fp8 engine.base_url=..."
        )
    known = known_hardware() if run.engine.holds_a_model else []
    here = _share(here or _here(run, known), run) if run.engine.holds_a_model else run.hardware
    read = {length: num_read(run, length) for length in run.ctx.lengths if length not in above}
    fits = {}
    for arm in arms:
        found = arm.engine.fit(run.model, list(read.values()), arm.kv.dtype, here, known)
        unfit = {length: found.unfit[num] for length, num in read.items() if num in found.unfit}
        fits[arm.name] = replace(found, unfit=above | unfit)
    if all(one.refusal for one in fits.values()):
        raise NiahError(next(iter(fits.values())).refusal)
    return fits


def num_read(run: Run, length: int) -> int:
    """About how many tokens the model reads of a context, before there is a tokenizer to count the question."""
    if run.reader.reads_all:
        return length
    return min(length, run.reader.max_tokens(length, _NEEDLES) + _QUESTION + run.task.answer_tokens)


def serving_arguments(run: Run, fit: Fit, longest: int) -> dict[str, Any]:
    """The engine arguments that follow from the plan; none for an engine that has none."""
    wish = run.engine.wish()
    return {} if wish is None else serving.arguments(fit.setup, longest, wish)


def environment(longest: int) -> dict[str, str]:
    """A chunk at the end of millions of tokens takes longer than the five minutes that vLLM gives a step."""
    return {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600"} if longest >= serving.LONG else {}


def exactly(run: Run) -> Iterator[str]:
    """What vLLM's own classes say of each length and KV dtype on this hardware; takes some seconds."""
    from niah.engines.vllm import exact

    hardware = _share(machine.resolve(run.hardware, known_hardware()), run)
    config = config_of(run.model)
    wish = _wish(run)
    split, block = wish.tensor_parallel or hardware.num_gpus, wish.block_size or wish.chunk or Setup.block_size
    cells = [(length, dtype) for length in sorted(set(run.ctx.lengths)) for dtype in planner.DTYPES]
    room = estimate.available_bytes(hardware, Setup(utilization=wish.utilization)) - memory.ENGINE_BYTES
    questions = [exact.Question(length, dtype, split, block, wish.batch or wish.chunk or memory.BATCH, room) for length, dtype in cells]
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


def describe(run: Run, words: Sequence[str], form: str, out: str) -> Iterator[str]:
    """Lines of the plan of a run with settings ``words``; with ``out`` a picture and the object are written there."""
    given = {word.split("=")[0] for word in words}
    known = known_hardware()
    hardware = _share(machine.resolve(run.hardware, known), run)
    if lines := run.engine.memory_lines(run.model, run.ctx.lengths, run.kv.dtype, hardware):
        if form == "json" or out:
            raise NiahError(f"plan engine={run.engine.name}: tells memory alone, as text; got {'out=' if out else 'format=json'}; leave it out")
        yield from lines
        return
    dtypes = planner.DTYPES if "kv" not in given else tuple(dict.fromkeys((run.kv.dtype, *planner.DTYPES)))
    if run.kv.dtype in dtypes and run.kv.dtype not in memory.COUNTED_DTYPES:
        raise NiahError(f"kv.dtype: the fast plan does not count {run.kv.dtype}; take exact=true, which asks vLLM itself")
    read = None if run.reader.reads_all else {length: num_read(run, length) for length in run.ctx.lengths}
    made = planner.make(run.model, run.ctx, hardware, known, dtypes, _wish(run), read)
    content = table.as_json(run.model.name, hardware, made)
    title = f"{run.model.label or run.model.path} ({run.model.weights} weights) on {hardware}"
    if form == "json":
        yield json.dumps(content)
    else:
        yield f"{title}: {made.cells[0].available / GIB:.1f} GiB of each for the engine"
        yield from table.lines(made)
        longest = max(read.values()) if read else max(run.ctx.lengths)
        if read:
            yield f"reader={run.reader.name}: the model reads at most {longest:,} tokens of a context; index and retrieval are not counted"
        if (wish := run.engine.wish()) is not None:
            setup = next((cell.setup for cell in made.cells if cell.cache_dtype == run.kv.dtype), made.cells[0].setup)
            own = serving.arguments(setup, longest, wish)
            arguments = {**own, **run.model.arguments_at(longest), **run.engine.args}
            yield f"engine arguments: {serving.told(arguments)}"
            if hardware.num_nodes > 1:
                yield from nodes.commands(
                    words, run.model.repository, {"dtype": run.model.dtype, **arguments}, hardware,
                    {**environment(longest), **run.model.environment_at(longest)},
                )
    if out:
        from niah.report import memory_chart

        folder = make(Path(out))
        write(folder / "plan.json", json.dumps(content, indent=1))
        picture = memory_chart.draw(title, made.cells, folder / "plan.png", run.report.dpi)
        if form != "json":
            yield f"picture: {picture}"


def _wish(run: Run) -> Wish:
    return run.engine.wish() or Wish()


def _here(run: Run, known: list[Hardware]) -> Hardware:
    """This machine, and as many more of its kind as ``hardware`` says: those cannot be seen from here."""
    own = machine.resolve(Hardware(), known)
    return replace(own, num_nodes=run.hardware.num_nodes) if own.capability else own


def _share(hardware: Hardware, run: Run) -> Hardware:
    """What one of ``engine.replicas`` has of a machine. Where GPUs are asked for by number it has just those: the
    others may be on other machines.
    """
    num = run.engine.replicas
    if num > 1 and hardware.num_nodes > 1:
        raise NiahError(
            f"engine.replicas: got {num} with hardware of {hardware.num_nodes} nodes; a replica lives on one machine: expected the nodes "
            "of one engine (engine.replicas=1), or one node's hardware and a Ray cluster (RAY_ADDRESS)"
        )
    if num == 1 or (hardware.capability and run.engine.tensor_parallel_size):
        return hardware
    if not hardware.capability:
        return replace(hardware, memory_gib=round(hardware.memory_gib / num, 1), label=f"1/{num} of {hardware.label}")
    if num > hardware.num_gpus:
        raise NiahError(
            f"engine.replicas: {num} asked for, {hardware.num_gpus} GPUs here; expected at most {hardware.num_gpus}, or on a Ray "
            "cluster (RAY_ADDRESS) engine.tensor_parallel_size=N, the GPUs of each"
        )
    return replace(hardware, num_gpus=hardware.num_gpus // num)
