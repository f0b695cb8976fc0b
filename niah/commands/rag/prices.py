"""Dollars of a prompt: the price table times the plan's seconds on a named machine."""

import os
from dataclasses import replace
from functools import cache

from niah.config import typed
from niah.errors import NiahError
from niah.models.settings import Model
from niah.planner import architecture, estimate, serving
from niah.planner.hardware import Hardware, counted
from niah.planner.serving import Wish
from niah.records import RunRecord
from niah.runs import capacity
from niah.stats.costs import Price


def machine(word: str) -> Hardware:
    """``h100``, ``8xh100`` or ``2x8xh100``. Raises NiahError for a machine without a file."""
    name, gpus, nodes = counted(word) or (word, 1, 1)
    known = {one.name: one for one in capacity.known_hardware()}
    if name not in known:
        raise NiahError(
            f"rag.hardware: got {word!r}; expected one of {', '.join(known)}, as h100 or 8xh100, or null"
        )
    return replace(known[name], num_gpus=gpus, num_nodes=nodes)


def price(record: RunRecord, hardware: Hardware, longest: int) -> Price:
    """Raises NiahError where the plan does not know the model, or cannot split it over this machine.

    Cold prompts one at a time, answers not counted; the same efficiencies as ``plan``.
    """
    model: Model = typed("model", Model, record.model_settings)[0]
    is_here = model.path.startswith("package:") or os.path.exists(os.path.expanduser(model.path))
    if not (model.architecture or is_here):  # a report fetches no weights
        raise NiahError(f"model.architecture: not given for {model.name}; expected one of niah/architectures")
    shape = architecture.of(model)
    setup = serving.setup(shape, hardware, Wish(), record.kv_dtype, model.weights, longest, model.name)
    dollars_a_second = setup.num_gpus * hardware.dollars_per_gpu_hour / 3600

    @cache  # prompts of a length have few sizes, and rows are many
    def dollars(num_tokens: int) -> float:
        operations = estimate.operations(shape, num_tokens, 0)
        return float(estimate.seconds_of(operations, hardware, setup) * dollars_a_second)

    return dollars
