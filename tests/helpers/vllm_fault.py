"""A fault planted in vLLM's worker, in whatever process that is, as a general plugin of vLLM's."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.helpers.command import REPOSITORY

FAULT = "NIAH_TEST_FAULT"


def variables(folder: Path, *faults: str, in_another_process: bool = True) -> dict[str, str]:
    """The environment in which vLLM has these faults, each as KIND:WHEN.

    KIND is oom (torch's own exception), host_oom, error, kill (SIGKILL of the process), start (an exception while the
    engine starts, WHEN is its words) or close (SIGKILL as it ends). WHEN is ``step=N`` (the worker's Nth, from 1),
    ``over=N`` (a new prompt of more than N tokens), ``prompt=N`` (one of just N), ``forced`` (log-probabilities of the
    prompt are asked for) or ``once=FILE``, the first step of a process as long as FILE is not there (it is made).
    """
    info = folder / "planted-0.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 0.0\n")
    (info / "entry_points.txt").write_text("[vllm.general_plugins]\nplanted = tests.helpers.vllm_fault:plant\n")
    return {
        "PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(folder))), FAULT: " ".join(faults),
        "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(in_another_process)),
    }


def plant() -> None:
    """Called by vLLM in each of its processes."""
    from vllm.v1.worker import cpu_worker

    faults = [fault.split(":", 1) for fault in os.environ.get(FAULT, "").split()]
    worker: Any = cpu_worker.CPUWorker
    own, own_load, steps = worker.execute_model, worker.load_model, 0

    def execute_model(self: Any, scheduled: Any, *rest: Any, **named: Any) -> Any:
        nonlocal steps
        steps += 1
        for kind, when in faults:
            if kind not in ("start", "close") and is_now(when, scheduled, steps):
                strike(kind)
        return own(self, scheduled, *rest, **named)

    def load_model(self: Any, *rest: Any, **named: Any) -> Any:
        for kind, text in faults:
            if kind == "start":
                raise RuntimeError(text.replace("_", " "))
        return own_load(self, *rest, **named)

    worker.execute_model, worker.load_model = execute_model, load_model
    if ["close", "always"] in faults:
        worker.shutdown = lambda self: os.kill(os.getpid(), signal.SIGKILL)


def is_now(when: str, scheduled: Any, steps: int) -> bool:
    name, _, value = when.partition("=")
    new = scheduled.scheduled_new_reqs
    sizes = [len(request.prompt_token_ids) for request in new]
    if name == "step":
        return steps == int(value)
    if name == "once":
        if not new or Path(value).exists():
            return False
        Path(value).touch()
        return True
    if name == "forced":
        return any(request.sampling_params.prompt_logprobs is not None for request in new)
    return any(size > int(value) if name == "over" else size == int(value) for size in sizes)


def strike(kind: str) -> None:
    import torch

    if kind == "oom":
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.02 GiB "
            "is free. Including non-PyTorch memory, this process has 78.08 GiB memory in use."
        )
    if kind == "host_oom":
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
                           "you tried to allocate 1099511627776 bytes. Error code 12 (Cannot allocate memory)")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronous")
