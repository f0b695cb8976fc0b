"""Inspect: an eval log (version 2, JSON) a variant, which inspect_ai.log.read_eval_log and its viewer open.

A sample that the engine lost has an error and no score. Inspect's metrics hold a value each: accuracy, and the ends of
its interval beside it.
"""

import json
from collections.abc import Iterator
from typing import Any

from niah.commands.export.parts import METHOD, Part, asked, plain, sample_id
from niah.records import Row
from niah.stats.cells import CONFIDENCE, CellStats

_STOPS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}


def files(part: Part) -> Iterator[tuple[str, str]]:
    """Path and content of the log."""
    time = part.written.isoformat()
    own = part.id("inspect")
    task = f"niah_{part.task}"
    rows = part.rows
    content = {
        "version": 2, "status": "success",
        "eval": {
            "eval_id": own[:22], "run_id": own[:22], "created": time, "task": task, "task_id": own[:22],
            "task_version": 0, "task_attribs": {}, "task_args": {},
            "dataset": {
                "name": f"niah {part.task}, {part.record.haystack}", "samples": len(rows),
                "sample_ids": [sample_id(row) for row in rows], "shuffled": False,
            },
            "model": part.model_id, "model_generate_config": {"max_tokens": part.record.scope.answer_tokens},
            "model_args": {}, "config": {"epochs": 1}, "packages": {"niah": part.record.environment.niah},
            "metadata": part.facts,
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": len(rows), "completed_samples": len(part.answered),
            "scores": [_score(part, one) for one in (part.overall, *part.lengths)],
        },
        "stats": {"started_at": time, "completed_at": time, "model_usage": {}},
        "samples": [_sample(part, row) for row in rows],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    yield f"{part.written.strftime('%Y-%m-%dT%H-%M-%S+00-00')}_{part.name}_{own[:8]}.json", text


def _score(part: Part, one: CellStats) -> dict[str, Any]:
    name = f"accuracy at {one.length} tokens" if one.length else "accuracy"
    values = {"accuracy": one.mean, "accuracy_low": one.low, "accuracy_high": one.high}
    options = {"confidence": CONFIDENCE, "method": METHOD}
    return {
        "name": name, "scorer": part.record.scorer or "niah", "params": {}, "scored_samples": one.n,
        "unscored_samples": one.errors,
        "metrics": {
            key: {"name": key, "value": value, "params": options, "metadata": options} for key, value in values.items()
        },
    }


def _sample(part: Part, row: Row) -> dict[str, Any]:
    said = {"role": "assistant", "content": row.response, "source": "generate", "model": part.model_id}
    fields = plain(row)
    kept = (
        "trial", "length", "depth", "repeat", "outcome", "prompt_sha256", "context_sha256", "needle_depths",
        "kv_cache_dtype", "variant", "num_cached_tokens", "logprob",
    )
    usage = {
        "input_tokens": row.num_prompt_tokens, "output_tokens": row.num_completion_tokens,
        "total_tokens": row.num_prompt_tokens + row.num_completion_tokens,
    }
    sample: dict[str, Any] = {
        "id": sample_id(row), "epoch": 1, "input": asked(row), "target": list(row.targets),
        "messages": [{"role": "user", "content": asked(row)}, *([said] if row.is_answered else [])],
        "output": {
            "model": part.model_id, "time": row.seconds,
            "choices": [{"message": said, "stop_reason": _STOPS.get(row.finish_reason, "unknown")}]
            if row.is_answered else [], **({"usage": usage} if row.is_answered else {}),
        },
        "metadata": {key: fields[key] for key in kept}, "store": {}, "events": [], "model_usage": {}, "attachments": {},
    }
    if row.is_answered:
        score = {"value": row.score, "answer": row.answer, "explanation": row.outcome}
        sample["scores"] = {part.record.scorer or "niah": score}
    else:
        sample["error"] = {"message": f"{row.outcome}: {row.error}", "traceback": "", "traceback_ansi": ""}
    return sample
