"""Runs of constructed models beside their plan: tokens that the KV cache holds, and seconds for a prompt's arithmetic.

    python benchmarks/gpu_calibration.py outputs/gpu_calibration/full ...

benchmarks/gpu_calibration.sh makes the runs first.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from niah.config import from_resolved
from niah.engines.vllm.process import is_cpu_build
from niah.planner import architecture, cpu, estimate, memory
from niah.runs import store
from niah.units import format_length


def main(paths: list[str]) -> None:
    print(
        "| model | KV cache | backend | length | found | tokens the cache holds: engine | plan | tokens read | s | "
        "PFLOP | TFLOP/s |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for path in map(Path, paths):
        _, record = store.opened(str(path))
        rows = [json.loads(line) for line in (path / "rows.jsonl").read_text().splitlines()]
        model = from_resolved({**record.config}).model
        shape = architecture.of(model)
        for variant, engine in record.engines.items():
            own = [row for row in rows if row["variant"] == variant]
            for length in sorted({row["length"] for row in own}):
                print(line(model.name, variant, engine.facts, [row for row in own if row["length"] == length], shape))


def line(
    name: str, variant: str, engine: Mapping[str, Any], rows: list[dict[str, Any]], shape: architecture.Architecture
) -> str:
    """One length: all trials' outcomes, and the time of the prompt of which most was read."""
    answered = [row for row in rows if row["score"] is not None]
    head = f"| {name} | {variant} | {engine['attention_backend']} | {format_length(rows[0]['length'])} | "
    if not answered:
        return head + f"{rows[0]['outcome']} | | | | | | |"
    coldest = max(answered, key=lambda row: row["num_prompt_tokens"] - row["num_cached_tokens"])
    cached, total = coldest["num_cached_tokens"], coldest["num_prompt_tokens"]
    work = estimate.operations(shape, total, cached).total
    seconds = coldest["first_token_seconds"]
    return head + (
        f"{sum(row['score'] == 1 for row in answered)} of {len(rows)} | {engine['kv_cache_size_tokens']:,} | "
        f"{planned(engine, shape):,} | {total - cached:,} | {seconds:.1f} | {work / 1e15:.3f} | "
        f"{work / seconds / 1e12:.2f} |"
    )


def planned(engine: Mapping[str, Any], shape: architecture.Architecture) -> int:
    """Tokens that the plan says fit into as many blocks."""
    base = memory.Setup(cache_dtype=engine["kv_cache_dtype"], prefix_caching=engine["prefix_caching"])
    setup = cpu.served(shape, base, engine["max_model_len"]) if is_cpu_build() else replace(
        base, block_size=engine["block_size"], batch=engine["max_num_batched_tokens"]
    )
    pool = memory.pool(shape, setup)
    available = engine["num_kv_blocks"] * pool.block_bytes
    return pool.num_tokens(available, engine["max_model_len"], setup.in_flight, prefix_caching=setup.prefix_caching)


if __name__ == "__main__":
    main(sys.argv[1:])
