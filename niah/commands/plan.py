"""The verb ``plan``: which lengths fit a machine, how long they take and what they cost, before anything is loaded."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from niah import planner
from niah.commands import budget, hydra, meant
from niah.commands.results import make, write
from niah.commands.words import RULER_QUICK, own_words
from niah.config import Run, build
from niah.errors import NiahError
from niah.models.resolve import config_of
from niah.planner import architecture, drafter, estimate, machine, memory, nodes, serving, table
from niah.planner.hardware import Hardware, counted
from niah.planner.memory import GIB, Setup
from niah.planner.serving import Wish
from niah.runs import capacity, expectation
from niah.terminal import say
from niah.units import format_length

_SEVERAL = re.compile(r"hardware=\[(.*)\]")


def main(words: list[str]) -> int:
    """Exit code of ``plan WORDS [format=json] [out=DIR] [exact=true] [budget=30m]``; ``hardware=[8xh100,8xh200]`` are
    several machines in one table."""
    own, rest = own_words({"out": "", "format": "text", "exact": "false", "budget": ""}, words)
    if own["format"] not in ("text", "json"):
        raise NiahError(f"plan format: got {own['format']!r}; expected text or json")
    if own["exact"].casefold() not in ("true", "false"):
        raise NiahError(f"plan exact: got {own['exact']!r}; expected true or false")
    machines, rest = _several(rest)
    is_exact = own["exact"].casefold() == "true"
    _check_together(own, is_exact=is_exact, is_quick=RULER_QUICK in rest, machines=machines)
    if RULER_QUICK in rest:
        from niah.commands.ruler.quick import expanded  # scipy: seconds that others need not wait

        say(*expanded(rest)[1])
        return 0

    def show(config: Any) -> int:
        run = build(config)
        places: list[Hardware | None] = [*machines] if machines else [None]
        repeats = [of_budget(run, own["budget"], one) for one in places] if own["budget"] else []
        if machines:
            found = side_by_side(run, rest, machines, own["format"])
        else:
            found = exactly(run, rest) if is_exact else describe(run, rest, own["format"], own["out"])
        try:
            for line in found:
                say(line)
        except architecture.UnknownKindError as error:
            from niah.engines.vllm.versions import installed  # not for what the fast plan knows

            if machines or own["out"] or own["format"] == "json" or own["budget"] or not installed():
                raise
            say(f"{str(error).partition(';')[0]}: vLLM itself is asked (exact=true), which takes some seconds")
            for line in exactly(run, rest):
                say(line)
        say(*repeats)
        return 0

    return hydra.run(hydra.adapted(rest), show)


def _check_together(own: Mapping[str, str], *, is_exact: bool, is_quick: bool, machines: Sequence[Hardware]) -> None:
    """Raises NiahError for words that cannot be answered together: none is passed over."""
    given = {
        "exact=true": is_exact, "out=": bool(own["out"]), "format=json": own["format"] == "json",
        f"budget={own['budget']}": bool(own["budget"]), "hardware=[...]": bool(machines),
    }
    words = [word for word, is_given in given.items() if is_given]
    if is_quick and words:
        raise NiahError(
            f"plan {RULER_QUICK}: says itself how many repeats a difference takes, and what they cost; got {words[0]} "
            "with it; leave that out, or take experiment=ruler"
        )
    if machines and (is_exact or own["out"]):
        raise NiahError(f"plan hardware: got {len(machines)} machines with {words[0]}; expected one")
    if is_exact and len(words) > 1:
        raise NiahError(f"plan exact=true: tells what vLLM's classes say of memory, as text; got {words[1]} with it; "
                        "leave one of the two out")
    if own["format"] == "json" and own["budget"]:
        raise NiahError(f"plan budget: is told in a line of text; got budget={own['budget']} with format=json; leave "
                        "one of the two out")


def of_budget(run: Run, text: str, here: Hardware | None = None) -> str:
    """How many whole repeats a run has time, tokens or dollars for (``budget=``), on one machine of several where
    ``here`` is given. Raises NiahError for odd ones."""
    whole = here or machine.resolve(run.hardware, capacity.known_hardware())
    if here:
        return f"{here}: {_of_budget(run, text, here)}"
    return _of_budget(run, text, whole)


def _of_budget(run: Run, text: str, whole: Hardware) -> str:
    spending = budget.parse(text, whole, "plan budget")
    try:
        fits = capacity.check(run, whole)
    except NiahError:  # no length has room: the table says so
        return f"budget={text}: nothing of this run fits"
    served, planned = capacity.served(run, fits, whole), [*expectation.expected(run, fits, whole).values()]
    if math.isfinite(spending.tokens) and served:
        prompts = served[2].prompts if run.engine.prefix_caching else [(length, 0) for length, _ in served[2].prompts]
        num = int(spending.tokens / (len(fits) * sum(length - cached for length, cached in prompts)))
        return f"budget={text}: {_repeats(num, num)}"
    if not planned or not all(one.get("trials_seconds") for one in planned):
        return f"budget={text}: this plan knows no seconds here; a run takes as many whole repeats as it has time for"
    start = sum(one["start_seconds"] for one in planned)
    each = sum(one["trials_seconds"] for one in planned) / run.ctx.repeats
    least, most = (
        int((spending.seconds - start) / each * part) for part in (1 / estimate.SPREAD, estimate.SPREAD)
    )
    return f"budget={text}: {_repeats(least, most)} (an estimate)"


def _repeats(least: int, most: int) -> str:
    if most < 1:
        return "less than one repeat of these lengths and depths; the first is taken whatever it takes"
    number = f"{max(1, least):,} to {most:,}" if least < most > 1 else f"about {most:,}"
    return f"{number} repeat{'s' if most > 1 else ''} of these lengths and depths"


def _several(words: Sequence[str]) -> tuple[list[Hardware], list[str]]:
    """The machines of ``hardware=[...]``, none where there is no such word, and the other words. Raises NiahError for a
    list without a machine, with one twice, or with settings beside it, which would be of no machine in it."""
    found = [match[1] for word in words if (match := _SEVERAL.fullmatch(word))]
    if not found:
        return [], list(words)
    rest = [word for word in words if not _SEVERAL.fullmatch(word)]
    names = [name.strip() for name in found[-1].split(",") if name.strip()]
    if not names:
        raise NiahError(f"plan hardware: got [{found[-1]}]; expected one machine at least, as hardware=[8xh100,8xh200]")
    if others := [word for word in rest if re.match(r"\+*hardware[.=]", word)]:
        raise NiahError(
            f"plan {others[0].lstrip('+')}: got beside hardware=[{found[-1]}]; expected all of it in the list, with a "
            "count as 8xh100 or 2x8xh100"
        )
    known = capacity.known_hardware()
    machines = [_machine(name, known) for name in names]
    shown = [str(one) for one in machines]
    if twice := [one for one in dict.fromkeys(shown) if shown.count(one) > 1]:
        raise NiahError(f"plan hardware: got {', '.join(twice)} twice; expected each once")
    return machines, rest


def _machine(name: str, known: Sequence[Hardware]) -> Hardware:
    """What a name means, as 8xh100. Raises NiahError where there is no such machine."""
    kind, num_gpus, num_nodes = counted(name) or (name, 1, 1)
    meant_kind = meant.choice("hardware", kind)
    if meant_kind == "auto":
        return machine.resolve(Hardware(), list(known))
    for one in known:
        if one.name == meant_kind:
            return replace(one, num_gpus=num_gpus, num_nodes=num_nodes)
    names = ", ".join(one.name for one in known)
    raise NiahError(f"plan hardware: got {name}; expected one of {names}, with a count as 8xh100")


def side_by_side(run: Run, words: Sequence[str], machines: Sequence[Hardware], form: str) -> Iterator[str]:
    """Lines of the plans of a run with settings ``words`` on several machines, in one table."""
    known = capacity.known_hardware()
    if run.engine.wish() is None:
        raise NiahError(f"plan engine={run.engine.name}: plans one machine; expected hardware=NAME without brackets")
    dtypes, read = _dtypes(run, words), _read(run)
    plans = [
        planner.make(
            run.model, run.ctx, capacity.share(one, run), known, dtypes, _wish(run), read,
            has_depth=run.task.has_depth,
        )
        for one in machines
    ]
    if form == "json":
        yield json.dumps({"plans": [table.as_json(run.model.name, plan.hardware, plan) for plan in plans]})
        return
    yield f"{run.model.label or run.model.path} ({run.model.weights} weights)"
    yield from table.side_by_side(plans)
    yield from _of_reader(run, read)


def exactly(run: Run, words: Sequence[str] = ()) -> Iterator[str]:
    """What vLLM's own classes say of each length and KV dtype on this hardware; takes some seconds."""
    from niah.engines.vllm import exact  # not for the fast plan

    hardware = capacity.share(machine.resolve(run.hardware, capacity.known_hardware()), run)
    config = config_of(run.model)
    wish = _wish(run)
    split, block = _split(run, hardware, wish, config), wish.block_size or wish.chunk or Setup.block_size
    cells = [(length, dtype) for length in sorted(set(run.ctx.lengths)) for dtype in _named_dtypes(run, words)]
    room = estimate.available_bytes(hardware, Setup(utilization=wish.utilization)) - memory.ENGINE_BYTES
    batch = wish.batch or wish.chunk or memory.BATCH
    questions = [exact.Question(length, dtype, split, block, batch, room) for length, dtype in cells]
    weights = exact.ask(config, questions[:1])[0]["parameter_bytes"]
    if weights >= room:
        raise NiahError(
            f"plan exact=true: {weights / GIB:.1f} GiB of weights on each GPU of {room / GIB:.1f}; "
            "take more or larger GPUs"
        )
    answers = exact.ask(config, [replace(question, available_bytes=room - weights) for question in questions])
    yield (
        f"vLLM's own classes, tensor parallel {split}: {weights / GIB:.2f} GiB of weights, "
        f"{(room - weights) / GIB:.2f} GiB for the KV cache"
    )
    for (length, dtype), answer in zip(cells, answers, strict=True):
        held = answer["hybrid"]
        room_for = held.get("refused") or (
            f"KV cache size {held['num_tokens']:,} tokens, {held['concurrency']:.2f} requests of this length"
        )
        yield f"{format_length(length):>8} {dtype:>9}  {room_for}"


def describe(run: Run, words: Sequence[str], form: str, out: str) -> Iterator[str]:
    """Lines of the plan of a run with settings ``words``; with ``out`` a picture and the object are written there."""
    known = capacity.known_hardware()
    whole = machine.resolve(run.hardware, known)
    hardware = capacity.share(whole, run)
    for speculation in run.spec.each():
        run.engine.check_speculation(speculation, run.model)
    if lines := run.engine.memory_lines(run.model, run.ctx.lengths, run.kv.dtype, hardware):
        if form == "json" or out:
            given_word = "out=" if out else "format=json"
            raise NiahError(
                f"plan engine={run.engine.name}: tells memory alone, as text; got {given_word}; leave it out"
            )
        yield from lines
        return
    dtypes, read = _dtypes(run, words), _read(run)
    has_depth = run.task.has_depth
    made = planner.make(run.model, run.ctx, hardware, known, dtypes, _wish(run), read, has_depth=has_depth)
    content = table.as_json(run.model.name, hardware, made)
    title = f"{run.model.label or run.model.path} ({run.model.weights} weights) on {hardware}"
    if form == "json":
        yield json.dumps(content)
    else:
        if run.hardware.name == "auto" and (note := machine.note()):
            yield note
        of_each = " of each" if hardware.capability else ""
        yield f"{title}: {made.cells[0].available / GIB:.1f} GiB{of_each} for the engine"
        yield from table.lines(made)
        longest = max([cell.num_read for cell in made.cells if not cell.is_above_limit], default=run.model.limit)
        yield from _of_reader(run, read)
        if (wish := run.engine.wish()) is not None:
            setup = next((cell.setup for cell in made.cells if cell.cache_dtype == run.kv.dtype), made.cells[0].setup)
            with suppress(NiahError):  # no length has room: the table says so
                fits = capacity.check(run, whole)
                yield from capacity.choice_lines(run, fits, whole)
                if line := expectation.cache_line(run, fits, whole):
                    yield line
                setup = next((one.setup for one in fits.values() if not one.refusal), setup)
            yield from _drafts(run, setup, longest)
            own = serving.arguments(setup, longest, wish)
            arguments = {**own, **run.model.arguments_at(longest), **run.engine.args}
            yield f"engine arguments: {serving.words(arguments)}"
            if hardware.num_nodes > 1:
                yield from nodes.commands(
                    words, run.model.repository, {"dtype": run.model.dtype, **arguments}, hardware,
                    {**capacity.engine_environment(longest), **run.model.environment_at(longest)},
                )
    if out:
        from niah.report import memory_chart  # matplotlib, for a picture alone

        folder = make(Path(out))
        write(folder / "plan.json", json.dumps(content, indent=1))
        picture = memory_chart.draw(title, made.cells, folder / "plan.png", run.report.dpi)
        if form != "json":
            yield f"picture: {picture}"


def _named_dtypes(run: Run, words: Sequence[str]) -> tuple[str, ...]:
    """The KV dtypes to plan: the run's own first, where it was asked for."""
    given = {word.split("=")[0] for word in words}
    return planner.DTYPES if "kv" not in given else tuple(dict.fromkeys((run.kv.dtype, *planner.DTYPES)))


def _dtypes(run: Run, words: Sequence[str]) -> tuple[str, ...]:
    """The same. Raises NiahError for one that is not counted."""
    dtypes = _named_dtypes(run, words)
    if run.kv.dtype in dtypes and not memory.counts(architecture.of(run.model), run.kv.dtype):
        raise NiahError(
            f"kv.dtype: the fast plan does not count {run.kv.dtype}; take exact=true, which asks vLLM itself"
        )
    return dtypes


def _read(run: Run) -> dict[int, int] | None:
    """How many tokens the model reads of each length, None where all."""
    if run.reader.reads_all:
        return None
    return {length: capacity.num_read(run, length) for length in run.ctx.lengths}


def _of_reader(run: Run, read: Mapping[int, int] | None) -> Iterator[str]:
    if read:
        yield (
            f"reader={run.reader.name}: the model reads at most {max(read.values()):,} tokens of a context; "
            "index and retrieval are not counted"
        )


def _drafts(run: Run, setup: Setup, longest: int) -> Iterator[str]:
    """What each speculation takes of a GPU beside the model, which the table is without."""
    shape = architecture.of(run.model)
    for speculation in run.spec.each():
        if not speculation.is_on:
            continue
        if note := drafter.note(speculation, run.model):
            yield note
            continue
        if not memory.counts(shape, setup.cache_dtype) or setup.weights not in memory.WEIGHT_BYTES:
            continue
        own = memory.need(shape, setup, longest)
        more = memory.need(drafter.added(shape, speculation, run.model), setup, longest)
        parts = (
            f"{(more.weights - own.weights) / GIB:.2f} GiB of weights and {(more.cache - own.cache) / GIB:.2f} GiB of "
            f"KV cache at {format_length(longest)} more" if more != own else "no more memory"
        )
        yield f"spec={speculation.name}: {parts}; seconds are those without drafts"


def _split(run: Run, hardware: Hardware, wish: Wish, config: Mapping[str, Any]) -> int:
    """GPUs that share each layer: the plan's choice, for a model that the fast plan does not know all whose number
    divides its heads."""
    try:
        longest = max(capacity.num_read(run, length) for length in run.ctx.lengths)
        shape = architecture.of(run.model)
        return serving.setup(
            shape, hardware, wish, run.kv.dtype, run.model.weights, longest, run.model.name
        ).tensor_parallel
    except architecture.UnknownArchitectureError:
        heads = {**config, **config.get("text_config", {})}.get("num_attention_heads") or 1
        return wish.tensor_parallel or max(n for n in range(1, hardware.num_gpus + 1) if heads % n == 0)


def _wish(run: Run) -> Wish:
    return run.engine.wish() or Wish()
