"""What vLLM itself chooses for engine arguments on a GPU that is not here: backend, FlashAttention version, block size.

``asked`` runs this module as a process of its own: its platform is patched (tests/helpers/cuda_platform.py), and vLLM's
own model is made on the meta device, so that each layer picks its backend as it does on that GPU.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from niah.engines.vllm.process import environment
from niah.planner.hardware import Hardware
from tests.helpers.command import REPOSITORY


def asked(cases: list[dict[str, Any]], hardware: Hardware) -> list[dict[str, Any]]:
    """An answer for each case of ``config`` (config.json), ``arguments`` (EngineArgs) and ``environment``.

    An answer has ``layers`` (each kind's backend, version of FlashAttention, dtype, head size and number) and
    ``block_size``, or ``refused`` (vLLM's words, where they stand and what kind of error they are).
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cases.json").write_text(json.dumps(cases))
        gpu = f"{hardware.compute_capability} {hardware.memory_gib} {hardware.num_gpus}"
        with (Path(folder) / "log").open("w") as log:
            done = subprocess.run(
                [sys.executable, "-m", "tests.helpers.vllm_choices", folder], cwd=REPOSITORY, stdout=log, stderr=log,
                env={
                    **os.environ, **environment(), "NIAH_TEST_GPU": gpu, "VLLM_LOGGING_LEVEL": "WARNING",
                    "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
                },
            )
        if done.returncode:
            answered = len((Path(folder) / "answers.jsonl").read_text().splitlines())
            said = (Path(folder) / "log").read_text()[-3000:]
            raise RuntimeError(f"case {answered} of {len(cases)} ended the process ({done.returncode}): {said}")
        return [json.loads(line) for line in (Path(folder) / "answers.jsonl").read_text().splitlines()]


def main(folder: Path) -> None:
    from tests.helpers import cuda_platform

    cuda_platform.install()
    from niah.engines.vllm import exact

    exact.stand_in_for_torchvision()
    cases = json.loads((folder / "cases.json").read_text())
    registered: set[str] = set()
    with (folder / "answers.jsonl").open("w") as out:
        for number, case in enumerate(cases):
            home = folder / str(number)
            home.mkdir()
            (home / "config.json").write_text(json.dumps({k: v for k, v in case["config"].items() if k != "niah"}))
            for architecture in case["config"].get("architectures", ()):
                if architecture not in registered:
                    registered.add(architecture)
                    exact.register(architecture)
            print(json.dumps(_answer(case, home)), file=out, flush=True)


def _answer(case: dict[str, Any], home: Path) -> dict[str, Any]:
    from vllm import platforms
    from vllm.engine.arg_utils import EngineArgs

    from niah.engines.vllm import exact

    platform: Any = platforms.current_platform
    with _environment(case.get("environment", {})), _warnings() as warnings:
        try:
            arguments = {**case["arguments"], "model": str(home), "load_format": "dummy", "skip_tokenizer_init": True}
            config: Any = EngineArgs(**arguments).create_engine_config()
            _workspace()
            platform.device_type = "meta"  # where a model puts its own buffers
            exact.on_meta_device(config, home.parent, config.parallel_config.tensor_parallel_size)
            found = _layers(config)
            platform.update_block_size_for_backend(config)
        except Exception as error:
            frames = [one for one in traceback.extract_tb(error.__traceback__) if "vllm" in one.filename]
            where = frames[-1].filename.split("site-packages/")[-1] + f":{frames[-1].lineno}" if frames else ""
            return {"refused": str(error).strip(), "kind": type(error).__name__, "where": where}
        finally:
            platform.device_type = "cuda"
        cache = config.cache_config
        return {
            "layers": found, "block_size": cache.block_size, "cache_dtype": str(cache.cache_dtype),
            "prefix_caching": bool(cache.enable_prefix_caching), "warnings": warnings,
            "runner": bool(config.use_v2_model_runner), "max_model_len": config.model_config.max_model_len,
            "told": _told(config),
        }


def _workspace() -> None:
    """The worker's scratch memory: sparse MLA asks for it while it is made."""
    import torch
    from vllm.v1.worker import workspace

    if not workspace.is_workspace_manager_initialized():
        workspace.init_workspace_manager(torch.device("meta"))


def _layers(config: Any) -> list[dict[str, Any]]:
    counted: dict[tuple[Any, ...], int] = {}
    for layer in config.compilation_config.static_forward_context.values():
        backend = getattr(layer, "attn_backend", None)
        if backend is None or getattr(layer, "kv_cache_dtype", None) is None:
            continue
        impl = getattr(layer, "impl", None)
        key = (
            backend.get_name(), _version(impl), str(layer.kv_cache_dtype),
            getattr(layer, "head_size", 0),
        )
        counted[key] = counted.get(key, 0) + 1
    return [
        {"backend": name, "version": version, "dtype": dtype, "head": head, "layers": count}
        for (name, version, dtype, head), count in counted.items()
    ]


def _told(config: Any) -> list[dict[str, Any]]:
    """What a worker that holds these layers says of them (niah/engines/vllm/worker.py), by the groups and the builders
    that its runner would have: a builder is made as far as it decides how queries are read."""
    from types import SimpleNamespace

    from vllm.config import set_current_vllm_config

    from niah.engines.vllm import exact, worker

    specs, layers = exact.cache_specs(config), dict(worker._layers(config))
    kept = [SimpleNamespace(layer_names=[name], kv_cache_spec=spec) for name, spec in specs.items()]
    with set_current_vllm_config(config):
        groups = [[SimpleNamespace(
            layer_names=[name], backend=layers[name].get_attn_backend(),
            metadata_builders=[_builder(layers[name].get_attn_backend().get_builder_cls(), specs[name], config)],
        )] for name in specs]
    runner = SimpleNamespace(kv_cache_config=SimpleNamespace(kv_cache_groups=kept), attn_groups=groups)
    return worker._counted(worker._layer(name, layer, runner) for name, layer in layers.items())


def _builder(kind: Any, spec: Any, config: Any) -> Any:
    builder = kind.__new__(kind)
    builder.kv_cache_spec, builder.vllm_config, builder.model_config = spec, config, config.model_config
    builder.cache_config = config.cache_config
    if hasattr(kind, "get_q_data_type"):  # FlashInfer
        builder.cache_dtype = str(config.cache_config.cache_dtype)
        builder.nvfp4_fa2 = builder.cache_dtype.startswith("nvfp4") and not _is_blackwell()
        builder.q_data_type_prefill = builder.get_q_data_type(is_prefill=True)
        builder.q_data_type_decode = builder.get_q_data_type(is_prefill=False)
    if hasattr(kind, "determine_prefill_query_data_type"):  # MLA
        builder.q_data_type = kind.determine_prefill_query_data_type(config, config.model_config.dtype)
    return builder


def _is_blackwell() -> bool:
    """Where FlashInfer reads nvfp4 by kernels of its own (flashinfer.py, _nvfp4_kv_on_fa2)."""
    from vllm.platforms import current_platform

    return current_platform.is_device_capability_family(100)


def _version(impl: Any) -> Any:
    """Of FlashAttention, and of what TurboQuant reads prompts with."""
    return getattr(impl, "vllm_flash_attn_version", None) or getattr(impl, "fa_version", None)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Any:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _warnings() -> Any:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Kept(logging.WARNING)
    logger = logging.getLogger("vllm")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
