"""The plan by vLLM's own classes: its model on the meta device and its KV-cache code; no weights, no GPU.

Run as a process of its own (``ask``): vLLM keeps one distributed state and one default dtype a process.
"""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from niah.engines.vllm.process import environment
from niah.errors import NiahError, first_line

_CHECKED = "Value error, "
"""How pydantic begins the line of a refusal."""
_VISION_MODULES = ("transforms", "transforms.v2", "transforms.v2.functional")


@dataclass(frozen=True)
class Question:
    """How a model is served; ``available_bytes`` are those of one GPU for the KV cache."""

    length: int
    cache_dtype: str
    tensor_parallel: int
    block_size: int
    batch: int
    available_bytes: int


def ask(config: dict[str, Any], questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Answers about one config.json: parameter_bytes of one GPU, in_flight tokens, and under ``hybrid`` and
    ``whole`` (without the hybrid manager) num_blocks, num_tokens and concurrency, or why it does not fit.

    Raises NiahError where vLLM refuses the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = {key: value for key, value in config.items() if key != "niah"}
        (Path(folder) / "config.json").write_text(json.dumps(own))
        asked = json.dumps([asdict(question) for question in questions])
        done = subprocess.run(
            [sys.executable, "-m", "niah.engines.vllm.exact", folder, asked],
            capture_output=True, text=True,
            env={**os.environ, **environment(), "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"},
        )
    if done.returncode:
        raise NiahError(
            f"plan exact=true: vLLM refuses this model: {_refusal(done.stderr)}; expected one that this vLLM serves"
        )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _refusal(said: str) -> str:
    """What a check of vLLM's settings says first, else the last line that says something."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line.removeprefix(_CHECKED) for line in lines if line.startswith(_CHECKED)] or lines[-1:]
    return (telling or ["no reason given"])[0].partition(" [type=")[0].rstrip(".")[:300]


def network(folder: Path, question: Question) -> tuple[Any, Any]:
    """vLLM's config and its own model on the meta device, for the first of ``tensor_parallel`` GPUs."""
    from vllm import EngineArgs

    arguments: dict[str, Any] = {
        "model": str(folder), "skip_tokenizer_init": True, "load_format": "dummy", "max_model_len": question.length,
        "kv_cache_dtype": question.cache_dtype, "language_model_only": True, "enforce_eager": True,
        "max_num_batched_tokens": question.batch, "max_num_seqs": 1, "block_size": question.block_size,
    }
    config: Any = EngineArgs(**arguments).create_engine_config()
    return config, on_meta_device(config, folder, question.tensor_parallel)


def on_meta_device(config: Any, folder: Path, tensor_parallel: int) -> Any:
    """vLLM's own model for its ``config``, without weights, as the first of ``tensor_parallel`` GPUs has it. ``folder``
    takes the file through which torch's processes would find each other."""
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.distributed import parallel_state
    from vllm.model_executor.model_loader.utils import initialize_model

    with set_current_vllm_config(config):
        if not torch.distributed.is_initialized():
            parallel_state.init_distributed_environment(1, 0, f"file://{folder}/store", 0, "gloo")
        parallel_state.destroy_model_parallel()  # a model with experts needs one more group than others
        parallel_state.initialize_model_parallel(1, 1)
        # one process stands for the first of several: layers ask these two for their share
        heads: Any = parallel_state._TP
        heads.world_size = tensor_parallel
        config.parallel_config.tensor_parallel_size = tensor_parallel
        torch.set_default_dtype(config.model_config.dtype)
        with torch.device("meta"):
            made = initialize_model(config)
        heads.world_size = 1
    return made


def cache_specs(config: Any) -> dict[str, Any]:
    """What each layer of the config's model keeps, by its name."""
    from vllm.config.vllm import get_layers_from_vllm_config
    from vllm.distributed import parallel_state
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase

    kind: Any = AttentionLayerBase
    heads: Any = parallel_state._TP
    specs = {}
    heads.world_size = config.parallel_config.tensor_parallel_size  # Mamba asks only now for its share
    try:
        for name, layer in get_layers_from_vllm_config(config, kind).items():
            # as vLLM's runner: a layer that reads the keys and values of an earlier one keeps none
            is_shared = bool(getattr(layer, "kv_sharing_target_layer_name", None))  # vLLM's base class does not have it
            spec = None if is_shared else layer.get_kv_cache_spec(config)
            if spec is not None:
                specs[name] = spec
    finally:
        heads.world_size = 1
    return specs


def answer(folder: Path, question: Question) -> dict[str, Any]:
    """One answer, in this process."""
    from vllm.platforms import current_platform

    config, made = network(folder, question)
    current_platform.update_block_size_for_backend(config)
    specs = cache_specs(config)
    config.cache_config.kv_cache_layout = "LBNHC"
    return {
        "class": type(made).__name__,
        "parameter_bytes": sum(weight.numel() * weight.element_size() for weight in made.parameters()),
        "block_size": config.cache_config.block_size,
        "in_flight": config.max_in_flight_tokens,
        "prefix_caching": bool(config.cache_config.enable_prefix_caching),
        "hybrid": _capacity(config, specs, question.available_bytes, hybrid=True),
        "whole": _capacity(config, specs, question.available_bytes, hybrid=False),
    }


def _capacity(config: Any, specs: dict[str, Any], available_bytes: int, *, hybrid: bool) -> dict[str, Any]:
    from vllm.v1.core import kv_cache_utils

    config.scheduler_config.disable_hybrid_kv_cache_manager = not hybrid
    try:
        made = _cache_configs(config, dict(specs), available_bytes)
    except ValueError as error:
        return {"refused": first_line(error)}
    cache = kv_cache_utils.generate_scheduler_kv_cache_config(made)
    num_tokens, concurrency = kv_cache_utils.get_kv_cache_capacity(config, cache)
    kept = [(group.kv_cache_spec, len(group.layer_names)) for group in cache.kv_cache_groups]
    groups = [[type(spec).__name__, num_layers, spec.block_size] for spec, num_layers in kept]
    return {"num_blocks": cache.num_blocks, "num_tokens": num_tokens, "concurrency": concurrency, "groups": groups}


def _cache_configs(config: Any, specs: dict[str, Any], available_bytes: int) -> Any:
    """vLLM's plan of one worker's cache; from 0.33 on it stands in a module of its own and takes the groups."""
    from vllm.v1.core import kv_cache_utils

    if not importlib.util.find_spec("vllm.v1.core.kv_cache_planning"):
        return kv_cache_utils.get_kv_cache_configs(config, [specs], [available_bytes])
    planning: Any = importlib.import_module("vllm.v1.core.kv_cache_planning")
    groups = planning.get_global_kv_cache_groups(config, [specs])
    return planning.get_kv_cache_configs(config, [specs], [available_bytes], groups)


def stand_in_for_torchvision() -> None:
    """vLLM's text-only Qwen3.5 imports image code, which needs torchvision only to be importable."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    from transformers.utils.import_utils import is_torchvision_available

    is_torchvision_available()  # remembered: transformers goes on without it
    parent = None
    for name in ("torchvision", *(f"torchvision.{part}" for part in _VISION_MODULES)):
        module = types.ModuleType(name)
        module.__path__ = []
        module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
        sys.modules[name] = module
        if parent is not None:
            setattr(parent, name.rpartition(".")[2], module)
        parent = module


def dense_for_sparse() -> None:
    """vLLM has no sparse attention on CPUs and refuses GLM-5 there; what a layer keeps is the same for dense MLA."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    platform: Any = type(current_platform)
    own = platform.get_attn_backend_cls

    def dense(cls: type[Any], /, selected_backend: Any, attn_selector_config: Any, **rest: Any) -> Any:
        return own(selected_backend, attn_selector_config._replace(use_sparse=False), **rest)

    platform.get_attn_backend_cls = classmethod(dense)


def experts_without_gates() -> None:
    """vLLM has no kernels on CPUs for experts without a gate (Nemotron) and refuses them; they weigh the same."""
    from vllm.model_executor.layers.fused_moe import config
    from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts
    from vllm.platforms import current_platform

    platform: Any = current_platform
    if not platform.is_cpu():
        return

    class Lenient:
        """The platform, as one on which the check lets such experts pass."""

        def is_xpu(self) -> bool:
            return True

        def __getattr__(self, name: str) -> Any:
            return getattr(platform, name)

    checked: Any = config
    checked.current_platform = Lenient()
    kernel: Any = CPUUnquantizedExperts
    kernel.is_supported_config = staticmethod(lambda *_: (True, None))


def register(architecture: str) -> None:
    """Inspects the class here: vLLM would do it in another process, without the stand-in."""
    from vllm import ModelRegistry
    from vllm.model_executor.models.registry import _TEXT_GENERATION_MODELS

    if architecture not in _TEXT_GENERATION_MODELS:
        return  # a class that vLLM finds elsewhere
    module, name = _TEXT_GENERATION_MODELS[architecture]
    path = module if module.startswith("vllm.") else f"vllm.model_executor.models.{module}"
    ModelRegistry.register_model(architecture, getattr(importlib.import_module(path), name))


def without_torchvision(architectures: Sequence[str]) -> None:
    """Lets vLLM read text-only models whose modules import image code, where torchvision is not installed.

    A CPU build of PyTorch has no torchvision to go with it here.
    """
    if importlib.util.find_spec("torchvision") is None:
        stand_in_for_torchvision()
        for architecture in architectures:
            register(architecture)


def main(folder: Path, questions: Sequence[Question]) -> None:
    """Prints one answer a line."""
    stand_in_for_torchvision()
    dense_for_sparse()
    experts_without_gates()
    for architecture in json.loads((folder / "config.json").read_text()).get("architectures", ()):
        register(architecture)
    for question in questions:
        print(json.dumps(answer(folder, question)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Question(**one) for one in json.loads(sys.argv[2])])
