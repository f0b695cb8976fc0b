"""One model over several machines: the command for each of them."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from niah.planner.hardware import Hardware

_PORT = 6379
_HEAD = "HEAD"
"""Stands for the first machine's address, as the others reach it."""
_SECRETS = "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=SECRET VLLM_API_KEY=SECRET"
"""What Ray's ports and vLLM's server ask of whoever speaks to them; without it they take commands from anybody."""


def commands(
    words: Sequence[str], model: str, arguments: Mapping[str, Any], hardware: Hardware, variables: Mapping[str, str]
) -> list[str]:
    """Two ways, a line a machine: a Ray cluster under the run itself, or vLLM's own server, which the run then asks.

    ``words`` are the run's settings as they were given, ``arguments`` vLLM's as the plan has them, ``model`` what it
    loads, ``variables`` what its server needs in the environment (the run sets them itself).
    """
    run = shlex.join(["python", "-m", "niah", *words])
    ray = [f"ray start --head --port={_PORT} --include-dashboard=false --num-gpus={hardware.num_gpus}"]
    ray += [f"ray start --address={_HEAD}:{_PORT} --num-gpus={hardware.num_gpus}"] * (hardware.num_nodes - 1)
    lines = [
        f"{hardware.num_nodes} machines, {_HEAD} is the address of the first ({_split(arguments)}); on each the same "
        f"secret, so that strangers are refused: {_SECRETS}",
        "by Ray, results on the first:",
        *_numbered(ray),
        f"  node 0, once all have joined: RAY_ADDRESS={_HEAD}:{_PORT} {run} "
        "engine.args.distributed_executor_backend=ray",
        "or by vLLM's server over all of them:",
    ]
    served = " ".join([*(f"{name}={shlex.quote(value)}" for name, value in variables.items()), serve(model, arguments)])
    nodes = [
        f"{served} --nnodes {hardware.num_nodes} --node-rank {rank} --master-addr {_HEAD}"
        + (" --headless" if rank else "")
        for rank in range(hardware.num_nodes)
    ]
    asking = shlex.join(["python", "-m", "niah", *(word for word in words if not word.startswith("engine"))])
    where = f"engine=openai engine.base_url=http://{_HEAD}:8000/v1 engine.api_key_env=VLLM_API_KEY"
    return [*lines, *_numbered(nodes), f"  anywhere with that key: {asking} {where}"]


def serve(model: str, arguments: Mapping[str, Any]) -> str:
    """``vllm serve`` with the arguments as its options; what is None is vLLM's own word None."""
    words = ["vllm", "serve", model]
    for name, value in arguments.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, value if isinstance(value, str) else "None" if value is None else json.dumps(value)]
    return shlex.join([*words, "--enable-prompt-tokens-details"])


def _split(arguments: Mapping[str, Any]) -> str:
    tensor, pipeline = arguments["tensor_parallel_size"], arguments["pipeline_parallel_size"]
    return f"tensor parallel {tensor}, pipeline parallel {pipeline}"


def _numbered(lines: Sequence[str]) -> list[str]:
    return [f"  node {number}: {line}" for number, line in enumerate(lines)]
