"""Run by test_models.py as a process of its own: vLLM makes each architecture on the meta device.

One JSON line for each: its class, parameters, and what its layers keep in the KV cache. No weights, no GPU.
"""

import json
import os
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from niah.engines.exact import dense_for_sparse, register, stand_in_for_torchvision

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
MAX_LENGTH = 8192


def measured(path: Path, folder: Path) -> dict:
    """Parameters of vLLM's own model and its KV cache specs."""
    import torch
    from vllm import EngineArgs
    from vllm.config import set_current_vllm_config
    from vllm.config.vllm import get_layers_from_vllm_config
    from vllm.distributed import parallel_state
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
    from vllm.model_executor.model_loader.utils import initialize_model

    (folder / "config.json").write_bytes(path.read_bytes())
    register(json.loads(path.read_text())["architectures"][0])
    config = EngineArgs(
        model=str(folder), skip_tokenizer_init=True, load_format="dummy", max_model_len=MAX_LENGTH,
        language_model_only=True, enforce_eager=True, kv_cache_dtype="bfloat16",
    ).create_engine_config()
    with set_current_vllm_config(config):
        if not torch.distributed.is_initialized():
            parallel_state.init_distributed_environment(1, 0, f"file://{folder}/store", 0, "gloo")
        parallel_state.destroy_model_parallel()  # a model with experts needs one more group than others
        parallel_state.initialize_model_parallel(1, 1)
        torch.set_default_dtype(config.model_config.dtype)
        with torch.device("meta"):
            model = initialize_model(config)
    layers = get_layers_from_vllm_config(config, AttentionLayerBase).values()
    # as vLLM's runner: a layer that reads the keys and values of an earlier one keeps none
    owners = [layer for layer in layers if not getattr(layer, "kv_sharing_target_layer_name", None)]
    specs = [spec for layer in owners if (spec := layer.get_kv_cache_spec(config)) is not None]
    return {
        "class": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "kv": [[*kind, count] for kind, count in sorted(Counter(map(kept, specs)).items())],
    }


def kept(spec) -> tuple[str, int, int]:
    """Kind of spec, window in tokens (0: none), bytes a token (of a recurrent state: in all)."""
    kind = type(spec).__name__
    if kind == "MambaSpec":
        return kind, 0, spec.page_size_bytes
    window = getattr(spec, "sliding_window", None) or getattr(spec, "attention_chunk_size", None) or 0
    return kind, window, spec.page_size_bytes // spec.block_size


def main(paths: list[str]) -> None:
    stand_in_for_torchvision()
    dense_for_sparse()
    with tempfile.TemporaryDirectory() as folder:
        for path in map(Path, paths):
            try:
                result = measured(path, Path(folder))
            except Exception as error:
                traceback.print_exc()
                result = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
            print(json.dumps({"architecture": path.stem, **result}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
