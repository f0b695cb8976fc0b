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

from niah.engines.vllm import exact

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
MAX_LENGTH = 8192


def measured(path: Path, folder: Path) -> dict:
    """Parameters of vLLM's own model and its KV cache specs."""
    (folder / "config.json").write_bytes(path.read_bytes())
    exact.register(json.loads(path.read_text())["architectures"][0])
    config, model = exact.network(folder, exact.Question(MAX_LENGTH, "bfloat16", 1, 32, MAX_LENGTH, 0))
    specs = exact.cache_specs(config).values()
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
    exact.stand_in_for_torchvision()
    exact.dense_for_sparse()
    exact.experts_without_gates()
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
