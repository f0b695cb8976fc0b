"""Speculative decoding in vLLM: its arguments, and what it says of the drafts of each answer."""

from collections.abc import Mapping
from typing import Any

from niah.engines import Job
from niah.planner import drafter
from niah.records import Drafts

PER_REQUEST = "per_request_spec_decode_metrics"
"""The engine argument of vLLM 0.32 with which a finished request tells of its own drafts."""
_COUNTERS = ("vllm:spec_decode_num_drafts", "vllm:spec_decode_num_draft_tokens", "vllm:spec_decode_num_accepted_tokens")


def arguments(job: Job) -> dict[str, Any]:
    """The engine arguments of a job's speculation; none without one."""
    if not job.speculation.is_on:
        return {}
    own, files = job.speculation.arguments(job.draft_files.engine_path if job.draft_files else ""), job.draft_files
    return {"speculative_config": {**own, **({"revision": files.revision} if files and files.revision else {})}}


def facts(job: Job) -> dict[str, Any]:
    """What of it decides answers, for each row; nothing without one."""
    if not job.speculation.is_on:
        return {}
    own = job.speculation.arguments("")
    return {"speculation": {**own, **({"model": job.draft_files.identity} if job.draft_files else {})}}


def config(job: Job) -> Mapping[str, Any] | None:
    """A config.json with the layers that draft, for the room they take of the KV cache."""
    if job.draft_files:
        return job.draft_files.config
    own = job.files.config
    return {**own, "num_hidden_layers": drafter.num_own_layers(own)} if job.speculation.method == "mtp" else None


def of_request(completion: Any) -> Drafts | None:
    """Those of a finished request, an output of vLLM's; None where it does not tell."""
    told = getattr(completion, "spec_decode_metrics", None)
    if told is None:
        return None
    accepted = sum(number * steps for number, steps in enumerate(told.histogram))
    return Drafts(sum(told.histogram), told.num_draft_tokens, accepted)


def counted(llm: Any) -> Drafts | None:
    """Those of all requests so far, by vLLM's counters; None where nothing is drafted."""
    found = {metric.name: int(metric.value) for metric in llm.get_metrics() if metric.name in _COUNTERS}
    return Drafts(*(found[name] for name in _COUNTERS)) if len(found) == len(_COUNTERS) else None
