"""What a run needs before it is loaded: memory, time and money, by arithmetic alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from niah.errors import NiahError
from niah.grid import Ladder
from niah.models.settings import Model
from niah.planner import architecture, attention, defaults, estimate, serving
from niah.planner.estimate import Cell, Sweep
from niah.planner.hardware import Hardware, counted_machines
from niah.planner.serving import Wish

DTYPES = ("bfloat16", "fp8_e4m3")


@dataclass(frozen=True)
class Plan:
    """Every length under every KV dtype on one machine, and the sweeps that fit; ``refused`` dtypes with the reason."""

    hardware: Hardware
    cells: tuple[Cell, ...]
    sweeps: dict[str, Sweep]
    refused: dict[str, str]


def make(
    model: Model, ladder: Ladder, hardware: Hardware, known: Sequence[Hardware], dtypes: Sequence[str] = DTYPES,
    wish: Wish = Wish(), read: Mapping[int, int] | None = None, *, has_depth: bool = True,  # noqa: B008 - frozen
) -> Plan:
    """The plan. ``known`` machines, one GPU each, are tried in ones, twos, fours and eights for the least that does.
    ``read`` gives the tokens that the model reads of each length where a reader leaves text out; then there are no
    sweeps. Without ``has_depth`` a task plants nothing, and a length is one trial of each repeat.

    Raises NiahError where the architecture is not known, or the split asked for is not possible.
    """
    shape = architecture.of(model)
    machines = counted_machines(known)
    cells, sweeps, refused = [], {}, {}
    for dtype in dtypes:
        if reason := attention.refusal(shape, dtype, hardware.capability, wish.asked):
            refused[dtype] = reason
            continue
        sizes = read or {length: length for length in ladder.lengths}
        readable = [num for num in sizes.values() if num <= model.limit] or [model.limit]
        setup = serving.setup(shape, hardware, wish, dtype, model.weights, max(readable), model.name)
        for length in sorted(set(ladder.lengths)):
            cell = estimate.cell(shape, hardware, setup, sizes[length], model.limit)
            least = None if cell.is_above_limit else estimate.least(shape, machines, setup, sizes[length])
            seconds = defaults.token_seconds(shape, hardware, setup, cell.need.cache)
            named = str(least) if least else ""
            cells.append(replace(cell, length=length, token_seconds=seconds, least=named))
        if not read:
            sweeps[dtype] = estimate.sweep(shape, hardware, setup, ladder, cells[-1].longest, has_depth=has_depth)
    if not cells:
        hint = "" if hardware.capability else "; this machine has no GPU: name one to plan for, as hardware=8xh200"
        raise NiahError(f"{next(iter(refused.values()))}{hint}")
    ordered = sorted(cells, key=lambda cell: (cell.length, dtypes.index(cell.cache_dtype)))
    return Plan(hardware, tuple(ordered), sweeps, refused)
