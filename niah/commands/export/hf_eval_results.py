"""Hugging Face's .eval_results/*.yaml of a model's repository: an entry a length, in percent.

The format has no interval: it stands in ``notes``.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from niah.commands.export.parts import Part
from niah.errors import NiahError
from niah.report import labels
from niah.stats.cells import CONFIDENCE
from niah.units import format_length


def files(part: Part, dataset: str) -> Iterator[tuple[str, str]]:
    """Path and content of the file. Raises NiahError where no dataset is named."""
    if not dataset:
        raise NiahError(
            "export to=hf_eval_results: which benchmark do the values belong to? expected the id of its data set, as "
            "dataset=ORGANISATION/NAME; the hub shows values of registered benchmarks alone"
        )
    facts = part.facts
    entries: list[dict[str, Any]] = [
        {
            "dataset": {"id": dataset, "task_id": f"{part.task}_{format_length(one.length).lower()}"},
            "value": round(100 * one.mean, 2), "date": part.written.isoformat().replace("+00:00", "Z"),
            "notes": (
                f"{CONFIDENCE:.0%} interval {100 * one.low:.1f} to {100 * one.high:.1f}, {one.n} answers in "
                f"{facts['num_repeats']} repeats; {facts['engine']} {facts['engine_version']}, KV cache "
                f"{facts['kv_cache_dtype']}, niah {facts.get('niah', '')}{labels.made_up(part.record.engine_name)}"
            ),
        }
        for one in part.lengths
    ]
    yield f"{part.name}/.eval_results/niah.yaml", yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
