"""``engine.replicas=N``: the same engine N times, as Ray actors; where they run and with which share of the machine."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from niah import environment, secrets
from niah.engines import Engine, Job
from niah.engines.replicas.replica import Opened, Replica
from niah.engines.replicas.session import MAX_RESTARTS, ReplicatedSession, Running, why_silent
from niah.errors import NiahError, reason
from niah.records import Completion, Failure, Prompt

_PASSED_ON = ("LD_PRELOAD", "DO_NOT_TRACK", "TOKENIZERS_PARALLELISM", "HF_HOME", "HF_HUB_OFFLINE", "CUDA_DEVICE_ORDER")
"""With all VLLM_ ones, but for keys, what an engine's process is given beside its own: Ray writes these into its logs,
so secrets have to be on each machine already."""
_ONLY_HERE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Read when Ray is imported (_private/ray_constants.py, services.py): at 0 a machine is no part of a cluster, so that
all of Ray's ports are on loopback, where they else are open to the network."""
_PLACE_SECONDS = 180
_Method = TypeVar("_Method", bound=Callable[..., Any])


def opened(engine: Engine, job: Job) -> ReplicatedSession:
    """Starts Ray here, or joins the cluster that RAY_ADDRESS names, and opens all replicas.

    Raises NiahError where Ray is missing, the cluster is too small or an engine does not start.
    """
    begun = time.perf_counter()
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        stay_on_this_machine()
    try:
        import ray
    except ImportError as error:
        raise NiahError(f"engine.replicas: Ray cannot be imported ({error}); pip install 'niah[ray]'") from error
    num = engine.replicas
    has_started = not ray.is_initialized()
    cores = environment.cores()
    if has_started:
        with _own_signals():
            _check_there(address)
            try:
                here: dict[str, Any] = {
                    "num_cpus": max(environment.num_cores(), num), "num_gpus": len(environment.gpus()),
                    "include_dashboard": False,
                }
                ray.init(
                    address=address or "local", log_to_driver=False, logging_level=logging.ERROR,
                    **({} if address else here),
                )
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                where = f" at RAY_ADDRESS={address}" if address else ""
                raise NiahError(f"engine.replicas: Ray does not start{where}; {reason(error)}") from error
    try:
        gpus = job.serving.get("tensor_parallel_size", 1) * job.serving.get("pipeline_parallel_size", 1)
        gpus = gpus if "gpu_memory_utilization" in job.serving else 0
        _check_room(ray, num, gpus)
        threads = max(1, environment.num_cores() // num)
        one = replace(engine, replicas=1)
        job_ref = ray.put(replace(job, memory_share=1.0 if address else 1 / num, log=job.log and job.log.resolve()))
        # inside a job of Ray's own (a sweep by its launcher) that job holds the cores already
        num_cpus = 0 if not has_started else 1 if gpus or address else threads
        running = []
        for number in range(num):
            own = [] if address or gpus else cores[number * threads : (number + 1) * threads]
            actor = _actor_class(ray).options(
                num_gpus=gpus, num_cpus=num_cpus, max_restarts=MAX_RESTARTS, scheduling_strategy="SPREAD",
                runtime_env={"env_vars": _environment(0 if gpus else threads)},
            ).remote()
            running.append(Running(number, actor, partial(actor.open.remote, one, job_ref, number, own)))
        _check_placed(ray, [replica.actor for replica in running], gpus)
        num_at_once = job.serving.get("max_num_seqs", engine.max_num_seqs) or 1
        session = ReplicatedSession(ray, running, num_at_once, has_started)
        session.open(begun)
    except BaseException:
        if has_started:
            ray.shutdown()
        raise
    return session


def stay_on_this_machine() -> None:
    """Before Ray is imported for a cluster of this machine alone: none of its ports is open to the network."""
    os.environ.setdefault(_ONLY_HERE, "0")


def _actor_class(ray: Any) -> Any:
    class ReplicaActor(Replica):
        @_method(ray, max_task_retries=-1)  # waits for the process that takes a dead one's place
        def open(self, *arguments: Any) -> Opened:
            return super().open(*arguments)

        @_method(ray, num_returns="streaming")
        def answer(self, prompts: Sequence[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
            yield from super().answer(prompts)

    return ray.remote(ReplicaActor)


def _method(ray: Any, **options: Any) -> Callable[[_Method], _Method]:
    """Ray's decorator of an actor's method."""
    decorator: Callable[[_Method], _Method] = ray.method(**options)
    return decorator


def _check_room(ray: Any, num: int, gpus: int) -> None:
    """Ray would wait for ever for what no machine of its cluster has."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    name, each = ("GPU", gpus) if gpus else ("CPU", 1)
    room = sum(int(node.get(name, 0) // each) for node in nodes)
    if room < num:
        raise NiahError(
            f"engine.replicas: {num} asked for, each on {each} {name}{'s' if each > 1 else ''} of one machine; got "
            f"room for {room} on {len(nodes)} machine{'s' if len(nodes) > 1 else ''}; take fewer, a smaller "
            "engine.tensor_parallel_size or a larger cluster (RAY_ADDRESS)"
        )


def _check_there(address: str | None) -> None:
    """Ray itself tries for minutes to reach a cluster that is not there."""
    if address is None:
        return
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return
    if why := why_silent(address, seconds=10):
        raise NiahError(
            f"RAY_ADDRESS={address}: does not answer ({why}); expected the head of a running cluster, as HOST:6379; "
            "unset it to use this machine"
        )


def _check_placed(ray: Any, actors: list[Any], gpus: int) -> None:
    """What others of the cluster hold is not free: two runs that wait for each other's would wait for ever."""
    ready, late = ray.wait([actor.ping.remote() for actor in actors], num_returns=len(actors), timeout=_PLACE_SECONDS)
    if late:
        raise NiahError(
            f"engine.replicas: {len(ready)} of {len(actors)} got their {'GPUs' if gpus else 'cores'} in "
            f"{_PLACE_SECONDS} s; others use this cluster (the job of a launcher with resources of its own, too); wait "
            "for them or take fewer"
        )


def _environment(threads: int) -> dict[str, str]:
    """A replica's variables: its number of threads is read when the process starts. None where it has GPUs."""
    passed = {
        name: value for name, value in os.environ.items()
        if name in _PASSED_ON or (name.startswith("VLLM_") and not secrets.names_one(name))
    }
    return {**passed, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray installs a handler of SIGTERM; ours ends a run as Ctrl-C does, its rows kept."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
