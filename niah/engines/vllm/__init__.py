"""vLLM, offline and fed with token ids: how it is opened."""

import dataclasses
import difflib
import os
import time
from dataclasses import dataclass
from typing import Any

from niah.engines import Case, Job, Session, processes
from niah.engines.vllm import agreement, causes, drafts, exact, grading, occupancy, positions, script, served
from niah.engines.vllm.process import is_cpu_build, old_driver
from niah.engines.vllm.session import VLLMSession
from niah.engines.vllm.settings import VLLMSettings
from niah.environment import cards
from niah.errors import NiahError, NoRoomError
from niah.models import weights
from niah.models.files import ModelFiles
from niah.models.settings import Model
from niah.planner import cpu

_INVARIANT = {"VLLM_BATCH_INVARIANT": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
"""Some kernels read the first when they are imported, so an engine's process has to import them anew."""
_PICKLED = ("pt", "npcache")
"""Formats to load that are pickled: who names one asks for it."""
_set_here: set[str] = set()
"""Of these, what this process has set."""


def _batch_invariance(is_wanted: bool) -> None:
    """Sets what vLLM's processes read, before vLLM is imported here; takes back what an engine before needed."""
    if is_wanted:
        _set_here.update(_INVARIANT.keys() - os.environ.keys())
        os.environ.update(_INVARIANT)
        return
    for name in _set_here:
        os.environ.pop(name, None)
    _set_here.clear()


@dataclass(frozen=True)
class VLLM(VLLMSettings):
    """Opened in this process, or with ``replicas`` in several."""

    def open(self, job: Job) -> Session:
        if self.replicas > 1:
            from niah.engines.replicas import start

            return start.opened(self, job)
        _batch_invariance(self.batch_invariant)
        # else counting ranks is compiled first, over a second for nothing
        if is_cpu_build() and self.args.get("enforce_eager", self.enforce_eager) is not False:
            os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
        try:
            from vllm import LLM
            from vllm.engine.arg_utils import EngineArgs
        except (ImportError, OSError) as error:  # a library that does not load, as a driver's
            raise NiahError(
                f"engine=vllm: vLLM cannot be imported ({error}); run `make setup`, or pip install "
                "'niah[vllm]' (NVIDIA GPU) or 'niah[cpu]', or take engine=fake"
            ) from error
        known = {f.name for f in dataclasses.fields(EngineArgs)}
        for name in self.args:
            if name not in known:
                near = ", ".join(difflib.get_close_matches(name, known, n=3)) or "see `vllm serve --help`"
                raise NiahError(f"engine.args.{name}: not an argument of this vLLM; expected one of its own, as {near}")
        if self.graded and (hindrance := grading.hindrance(self.args)):
            raise NiahError(f"engine.graded: {hindrance}; leave it out")
        given = self._given(job, known)
        os.environ.update(job.environment)
        if is_cpu_build():
            exact.without_torchvision(job.files.config.get("architectures", ()))
        if not is_cpu_build():
            os.environ.update(cards.numbered())
            num_gpus = given.get("tensor_parallel_size", 1) * given.get("pipeline_parallel_size", 1)
            occupancy.check(num_gpus, given.get("gpu_memory_utilization", self.gpu_memory_utilization))
        started = time.perf_counter()
        log, memory = causes.Log(job.log), processes.MemoryKills()
        try:
            llm = LLM(**{**given, **served.extension(given)})
        except Exception as error:
            raise _not_started(error, log, memory) from error
        seconds = time.perf_counter() - started
        config = llm.llm_engine.vllm_config
        num_at_once = config.scheduler_config.max_num_seqs  # engine.args may have set it too
        facts = {**served.served(llm), **drafts.facts(job)}
        if num_at_once > 1 or not is_cpu_build():  # what runs on CPUs have by default is in run.json alone
            facts |= {"max_num_seqs": num_at_once, "enforce_eager": config.model_config.enforce_eager}
        session = VLLMSession(llm, job, num_at_once, seconds, graded=self._grades(config), served=facts)
        if differing := agreement.difference(self.wish(), facts):
            session.close()
            raise NiahError(differing)
        return session

    def check(self, files: ModelFiles, model: Model, longest: int) -> None:
        """As vLLM itself would, once it has been imported and begun to start: before text is read and prompts made."""
        arguments = {**model.arguments_at(longest, is_wrapped=files.is_wrapped), **self.args}
        positions.check(arguments, files, model, longest)
        if (load_format := arguments.get("load_format", self.load_format)) != "dummy":
            weights.check(files, allow_pickle=model.allow_pickle or load_format in _PICKLED)

    def script(self, job: Job, case: Case) -> str:
        from vllm.engine.arg_utils import EngineArgs

        given = self._given(job, {f.name for f in dataclasses.fields(EngineArgs)})
        names = {**job.environment, **(_INVARIANT if self.batch_invariant else {})}
        if is_cpu_build():
            names["VLLM_ENABLE_V1_MULTIPROCESSING"] = os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        return script.text(given, names, job.tokenizer.stop_ids, case)

    def _given(self, job: Job, known: set[str]) -> dict[str, Any]:
        """All arguments of vLLM's, whose own are ``known``: the plan may name some that older versions lack."""
        serving = {name: value for name, value in job.serving.items() if name in known}
        own = self._arguments(job, is_cpu_build())
        given = {**own, **serving, **job.arguments, **drafts.arguments(job), **self.args}
        if given.get("speculative_config") and drafts.PER_REQUEST in known:
            given.setdefault(drafts.PER_REQUEST, "summary")
        return given

    def _grades(self, config: Any) -> bool:
        """Whether right answers are forced; unless set, where the prefix cache of vLLM's ``config`` makes it cheap."""
        return grading.is_cheap(config) and not grading.hindrance(self.args) if self.graded is None else self.graded

    def _arguments(self, job: Job, on_cpu: bool) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": job.files.engine_path,
            "revision": job.files.revision,
            "skip_tokenizer_init": True,  # ids in, ids out: the tokenizer stays ours
            "dtype": job.dtype,
            "load_format": self.load_format,
            "seed": job.seed,
            "disable_log_stats": False,
            "enforce_eager": self.enforce_eager if self.enforce_eager is not None else on_cpu,
            "max_num_seqs": self.max_num_seqs or 1,
            "trust_remote_code": job.trust_remote_code,
        }
        if self.kv_cache_memory_gib:
            arguments["kv_cache_memory_bytes"] = int(self.kv_cache_memory_gib * 2**30)
        elif on_cpu:
            arguments["kv_cache_memory_bytes"] = cpu.cache_bytes(
                job.files.config, job.max_length, job.kv_cache_dtype, job.memory_share, drafts.config(job)
            )
        return arguments


def _not_started(error: Exception, log: causes.Log, memory: processes.MemoryKills) -> NiahError:
    """The one line of a failed start: its root cause, and what to do where niah knows that."""
    cause = causes.of(error, log.since)
    words = cause.words
    if not cause.is_known and (killed := memory.killed()):
        words = f"{killed}; {words}"
    if cause.max_length:
        return NoRoomError(f"engine=vllm: did not start; {words}", cause.max_length, words)
    parts = [f"engine=vllm: did not start; {words}", cause.advice, old_driver()]
    if "free memory on device" in words.lower():
        held = [f"pid {pid} {mib:,} MiB" for pid, mib in processes.held_mib().items()]
        parts += [f"held now: {', '.join(held)}" if held else "", *map(str, processes.left_behind())]
    return NiahError("; ".join(part for part in parts if part))
