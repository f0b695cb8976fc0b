"""The table of docs/plan.md: each model at its limit, KV cache bf16 and fp8, and the least hardware that holds both.

One command, no GPU, no network: ``python benchmarks/models.py``; ``lengths=8k,128k,limit`` takes other lengths.
KV GiB are those of one request on one GPU; the cheapest machine by conf/hardware is the least.
"""

import sys
import time
from dataclasses import replace

from niah.choices import choices
from niah.config import typed
from niah.models.settings import Model
from niah.planner import architecture, estimate, memory
from niah.planner.architecture import Architecture
from niah.planner.memory import GIB, Setup
from niah.runs import capacity
from niah.units import format_length, parse_length

_HEAD = ("model", "weights", "length", "KV bf16", "least hardware", "KV fp8", "least hardware")


def main(words: list[str]) -> None:
    wanted = ",".join(word.removeprefix("lengths=") for word in words) or "limit"
    started = time.perf_counter()
    known = capacity.known_hardware()
    machines = [replace(one, num_gpus=count) for one in known for count in (1, 2, 4, 8)]
    machines += [replace(one, num_gpus=8, num_nodes=2) for one in known]
    groups: dict[tuple[Architecture, str, int], list[Model]] = {}
    for node in choices("model"):
        if node.get("architecture"):
            node = {**node, "path": "", "repositories": dict.fromkeys(node.get("repositories", {}), "-")}
            model, _ = typed("model", Model, node)
            shape = architecture.of(model)
            groups.setdefault((shape, model.weights, model.limit), []).append(model)
    print("| " + " | ".join(_HEAD) + " |\n|" + "---|" * len(_HEAD))
    rows = 0
    for (shape, weights, limit), models in groups.items():
        lengths = {limit if one == "limit" else parse_length(one, "lengths") for one in wanted.split(",")}
        for length in sorted(one for one in lengths if one <= limit):
            setup = Setup(weights=weights)
            names = ", ".join(f"`{model.name}`" for model in models)
            row = [names, f"{memory.weight_bytes(shape, setup) / GIB:,.1f} GiB {weights}", format_length(length)]
            for dtype in ("bfloat16", "fp8_e4m3"):
                served = replace(setup, cache_dtype=dtype)
                least = estimate.least(shape, machines, served, length)
                row.append(f"{memory.need(shape, served, length).cache / GIB:,.1f} GiB")
                row.append(str(least or "more than 2x8xb200"))
            print("| " + " | ".join(row) + " |")
            rows += 1
    print(f"\n{rows} rows in {time.perf_counter() - started:.1f} s; torch imported: {'torch' in sys.modules}")


if __name__ == "__main__":
    main(sys.argv[1:])
