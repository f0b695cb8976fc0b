"""Every Eval Ever, schema 0.3.0: an aggregate and a file of samples for each variant, in the datastore's folders.

github.com/evaleval/every_eval_ever, every_eval_ever/schemas/. Samples without an answer are left out and counted: the
schema has a score for each, and none is no zero.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from niah import __version__
from niah.commands.export.parts import METHOD, Part, asked, plain, sample_id
from niah.records import Row
from niah.stats.cells import CONFIDENCE, CellStats

SCHEMA = "0.3.0"


def files(part: Part) -> Iterator[tuple[str, str]]:
    """Path and content of each file."""
    developer, _, name = part.model_id.rpartition("/")
    own = part.id("every_eval_ever")
    folder = f"data/niah/{developer or 'unknown'}/{name}"
    samples = "".join(json.dumps(_sample(part, row), ensure_ascii=False) + "\n" for row in part.answered)
    content = {
        "schema_version": SCHEMA, "evaluation_id": _evaluation_id(part), "evaluation_timestamp": _seconds(part),
        "retrieved_timestamp": _seconds(part),
        "source_metadata": {
            "source_name": "niah", "source_type": "evaluation_run", "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "niah", "version": part.record.environment.niah or __version__},
        "model_info": {
            "name": part.model_id if part.is_fake else part.record.model_label or part.model_id, "id": part.model_id,
            "developer": developer or "unknown",
            "inference_engine": {"name": part.record.engine_name, "version": part.engine_version},
            "additional_details": {
                "deployment_type": "unknown" if part.record.engine_name == "openai" else "self_deployed",
                "model_availability": "unknown", **part.facts,
            },
        },
        "evaluation_results": [_result(part, one) for one in (part.overall, *part.lengths)],
        "detailed_evaluation_results": {
            "format": "jsonl", "file_path": f"{folder}/{own}_samples.jsonl", "hash_algorithm": "sha256",
            "checksum": sha256(samples.encode()).hexdigest(), "total_rows": len(part.answered),
        },
    }
    yield f"{folder}/{own}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    yield f"{folder}/{own}_samples.jsonl", samples


def _seconds(part: Part) -> str:
    return str(int(part.written.timestamp()))


def _evaluation_id(part: Part) -> str:
    return f"niah-{part.name}/{part.model_id}/{_seconds(part)}"


def _result_id(length: int) -> str:
    return f"accuracy@{length}" if length else "accuracy"


def _result(part: Part, one: CellStats) -> dict[str, Any]:
    name = f"niah {part.task}" + (f" at {one.length} tokens" if one.length else "")
    return {
        "evaluation_result_id": _result_id(one.length), "evaluation_name": name,
        "source_data": {"dataset_name": f"niah {part.task}, {part.record.haystack}", "source_type": "other"},
        "metric_config": {
            "evaluation_description": "share of right answers among trials that were answered",
            "metric_id": "accuracy", "metric_name": "Accuracy", "metric_kind": "accuracy", "metric_unit": "proportion",
            "lower_is_better": False, "score_type": "continuous", "min_score": 0, "max_score": 1,
        },
        "score_details": {
            "score": one.mean,
            "uncertainty": {
                "confidence_interval": {
                    "lower": one.low, "upper": one.high, "confidence_level": CONFIDENCE, "method": METHOD,
                },
                "num_samples": one.n,
            },
            "details": {"without_answer": str(one.errors), **{key: str(num) for key, num in one.outcomes.items()}},
        },
        "generation_config": {"generation_args": {"max_tokens": part.record.scope.answer_tokens}},
    }


def _sample(part: Part, row: Row) -> dict[str, Any]:
    raw = asked(row)
    reference = list(row.targets)
    fields = plain(row)
    kept = ("trial", "length", "depth", "repeat", "outcome", "prompt_sha256", "context_sha256", "finish_reason")
    return {
        "schema_version": SCHEMA, "evaluation_id": _evaluation_id(part), "model_id": part.model_id,
        "evaluation_name": f"niah {part.task} at {row.length} tokens",
        "evaluation_result_id": _result_id(row.length), "sample_id": sample_id(row),
        "sample_hash": sha256((raw + "".join(reference)).encode()).hexdigest(), "interaction_type": "single_turn",
        "input": {"raw": raw, "formatted": None, "reference": reference},
        "output": {"raw": [row.response], "reasoning_trace": [row.thinking] if row.thinking else None},
        "messages": None,
        "answer_attribution": [{
            "turn_idx": 0, "source": "output.raw", "extracted_value": row.answer,
            "extraction_method": part.record.scorer or "custom", "is_terminal": True,
        }],
        "evaluation": {"score": row.score, "is_correct": row.score == 1},
        "token_usage": {
            "input_tokens": row.num_prompt_tokens, "output_tokens": row.num_completion_tokens,
            "total_tokens": row.num_prompt_tokens + row.num_completion_tokens,
            "input_tokens_cache_read": row.num_cached_tokens,
        },
        "performance": {
            "latency_ms": 1000 * row.seconds,
            "time_to_first_token_ms": None if row.first_token_seconds is None else 1000 * row.first_token_seconds,
        },
        "error": None, "metadata": {key: str(fields[key]) for key in kept},
    }
