"""lm-evaluation-harness: results_TIME.json and samples_TASK_TIME.jsonl, as lm_eval --log_samples leaves them.

A task a length, ``niah_TASK_LENGTH``, and ``niah_TASK`` for all. Its results have a standard error and no interval, so
that is "N/A" and the interval stands in the task's own ``metadata``.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from niah.commands.export.parts import METHOD, Part, asked, plain, sample_id
from niah.records import Row
from niah.stats.cells import CONFIDENCE, CellStats


def files(part: Part) -> Iterator[tuple[str, str]]:
    """Path and content of each file."""
    time = part.written.strftime("%Y-%m-%dT%H-%M-%S.000000")
    folder = f"{part.name}/{part.model_id.replace('/', '__')}"
    found = {_task(part, one.length): one for one in (part.overall, *part.lengths)}
    content = {
        "results": {
            name: {"alias": name, "acc,none": one.mean, "acc_stderr,none": "N/A"} for name, one in found.items()
        },
        "group_subtasks": {name: [] for name in found},
        "configs": {name: _config(part, name, one) for name, one in found.items()},
        "versions": dict.fromkeys(found, 1.0), "n-shot": dict.fromkeys(found, 0),
        "higher_is_better": {name: {"acc": True} for name in found},
        "n-samples": {name: {"original": one.n + one.errors, "effective": one.n} for name, one in found.items()},
        "config": {
            "model": part.record.engine_name, "model_args": f"pretrained={part.model_id}", "batch_size": None,
            "limit": None, "gen_kwargs": None, "niah": part.facts,
        },
        "git_hash": part.record.environment.git_commit, "date": part.written.timestamp(),
        "lm_eval_version": f"niah {part.record.environment.niah}", "model_source": part.record.engine_name,
        "model_name": part.model_id, "model_name_sanitized": part.model_id.replace("/", "__"),
        "start_time": 0.0, "end_time": 0.0,
        "total_evaluation_time_seconds": str(sum(row.seconds for row in part.rows)),
    }
    yield f"{folder}/results_{time}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    for one in part.lengths:
        lines = [_sample(row) for row in part.answered if row.length == one.length]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        yield f"{folder}/samples_{_task(part, one.length)}_{time}.jsonl", text


def _task(part: Part, length: int) -> str:
    return f"niah_{part.task}_{length}" if length else f"niah_{part.task}"


def _config(part: Part, name: str, one: CellStats) -> dict[str, Any]:
    return {
        "task": name, "output_type": "generate_until", "num_fewshot": 0, "test_split": "test",
        "generation_kwargs": {"max_gen_toks": part.record.scope.answer_tokens},
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {
            "version": 1.0, "interval": {"low": one.low, "high": one.high, "confidence": CONFIDENCE, "method": METHOD},
            "without_answer": one.errors, **part.facts,
        },
    }


def _sample(row: Row) -> dict[str, Any]:
    target, prompt = row.targets[0] if row.targets else "", asked(row)
    fields = plain(row)
    kept = ("trial", "length", "depth", "repeat", "outcome", "answer", "targets", "variant", "context_sha256")
    return {
        "doc_id": row.trial, "doc": {"id": sample_id(row), **{key: fields[key] for key in kept}}, "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": []}}}, "resps": [[row.response]],
        "filtered_resps": [row.response], "filter": "none", "metrics": ["acc"],
        "doc_hash": sha256(sample_id(row).encode()).hexdigest(), "prompt_hash": row.prompt_sha256,
        "target_hash": sha256(target.encode()).hexdigest(), "acc": row.score,
    }
