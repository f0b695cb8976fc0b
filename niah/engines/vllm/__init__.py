"""vLLM, offline and fed with token ids: its settings, and how it is opened."""

import dataclasses
import difflib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from niah.engines import Engine, Job, Session
from niah.engines.vllm import exact, grading, served
from niah.engines.vllm.process import is_cpu_build
from niah.engines.vllm.session import VLLMSession
from niah.errors import NiahError, reason
from niah.limits import limited, one_of
from niah.models.settings import Model
from niah.planner import backends, cpu, fit
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.serving import Wish


@dataclass(frozen=True)
class VLLM(Engine):
    """Settings by vLLM's own names; ``args`` passes any other engine argument through.

    ``chunk_tokens`` sets both max_num_batched_tokens and block_size, so that a prefix-cache hit ends
    where a prefill chunk would: then a cached prompt and a cold one are computed in the same pieces
    and give bit-identical answers (checked by a test). 0 takes 128 on CPUs, and on GPUs what the plan
    says (chunks of 8,192, blocks of 16 or 64), where answers after a hit may differ by rounding.
    ``kv_cache_memory_gib`` 0 takes room for two prompts of the longest length on CPUs, and what
    ``gpu_memory_utilization`` leaves on GPUs. ``tensor_parallel_size`` 0 takes all GPUs here, as far as
    the model's heads divide. ``graded`` forces the right answer after each prompt to see how likely the model
    held it; null does so where the prefix cache makes it cheap. ``cold_check`` is the share of the trials that are
    asked again without prefix cache, one at least. ``attention`` names the backend (flash_attn, flashinfer, triton, or vLLM's own names), none leaves it
    to vLLM; several, like several of ``flash_attn_version`` (2, 3, 4), are run one after the other. ``replicas`` engines
    share the trials, as Ray actors: on a machine of its share of cores or GPUs each, or over the cluster of RAY_ADDRESS.
    """

    name: str = "vllm"
    prefix_caching: bool = True
    max_num_seqs: int = 1
    chunk_tokens: int = 0
    kv_cache_memory_gib: float = 0.0
    gpu_memory_utilization: float = 0.92
    tensor_parallel_size: int = 0
    pipeline_parallel_size: int = 0
    decode_context_parallel_size: int = 1
    attention: list[str] = field(default_factory=list)
    flash_attn_version: list[int] = one_of(2, 3, 4, default=[])
    enforce_eager: bool | None = None
    load_format: str = "auto"
    graded: bool | None = None
    cold_check: float = limited(0.02, at_least=0, at_most=1)
    args: dict[str, Any] = field(default_factory=dict)
    replicas: int = limited(1, at_least=1, decides=False)
    holds_a_model = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "attention", [backends.named(name) for name in self.attention])

    def fit(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware]
    ) -> Fit:
        """By vLLM's own accounting of weights and blocks."""
        return fit.check(model, lengths, cache_dtype, hardware, known, self.wish())

    def open(self, job: Job) -> Session:
        if self.replicas > 1:
            from niah.engines.replicas import start

            return start.opened(self, job)
        # else counting ranks is compiled first, over a second for nothing
        if is_cpu_build() and self.args.get("enforce_eager", self.enforce_eager) is not False:
            os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
        try:
            from vllm import LLM
            from vllm.engine.arg_utils import EngineArgs
        except ImportError as error:
            raise NiahError(
                f"engine=vllm: vLLM cannot be imported ({error}); run `make setup`, or pip install "
                "'niah[vllm]' (NVIDIA GPU) or 'niah[cpu]', or take engine=fake"
            ) from error
        known = {f.name for f in dataclasses.fields(EngineArgs)}
        for name in self.args:
            if name not in known:
                near = ", ".join(difflib.get_close_matches(name, known, n=3)) or "see `vllm serve --help`"
                raise NiahError(f"engine.args.{name}: not an argument of this vLLM; expected one of its own, as {near}")
        arguments = self._arguments(job, is_cpu_build())
        serving = {name: value for name, value in job.serving.items() if name in known}  # older versions lack some
        os.environ.update(job.environment)
        if is_cpu_build():
            exact.without_torchvision(job.files.config.get("architectures", ()))
        started, log_start = time.perf_counter(), job.log.stat().st_size if job.log and job.log.exists() else 0
        try:
            llm = LLM(**{**arguments, **serving, **job.arguments, **self.args})
        except Exception as error:
            raise NiahError(f"engine=vllm: did not start; {reason(error)}") from error
        seconds = time.perf_counter() - started
        config = llm.llm_engine.vllm_config
        facts = served.served(config, served.log_since(job.log, log_start))
        return VLLMSession(llm, job, self.max_num_seqs, seconds, graded=self._grades(config), served=facts)

    def _grades(self, config) -> bool:
        if not grading.supported():
            return False
        if self.graded is not None:
            return self.graded
        cache, vocabulary = config.cache_config, config.model_config.get_vocab_size()
        return bool(cache.enable_prefix_caching) and cache.block_size * vocabulary * 4 <= grading.MAX_TAIL_BYTES

    def wish(self) -> Wish:
        """What is left to the plan and what is not; ``args`` win over the fields."""
        own = self.args.get
        return Wish(
            tensor_parallel=own("tensor_parallel_size", self.tensor_parallel_size),
            pipeline_parallel=own("pipeline_parallel_size", self.pipeline_parallel_size),
            decode_context_parallel=own("decode_context_parallel_size", self.decode_context_parallel_size),
            chunk=self.chunk_tokens,
            batch=own("max_num_batched_tokens", 0),
            block_size=own("block_size", 0),
            max_num_seqs=own("max_num_seqs", self.max_num_seqs),
            hybrid=not own("disable_hybrid_kv_cache_manager", False),
            prefix_caching=own("enable_prefix_caching", self.prefix_caching),
            utilization=own("gpu_memory_utilization", self.gpu_memory_utilization),
            backend=own("attention_backend", next(iter(self.attention), None)),
            flash_attn_version=next(iter(self.flash_attn_version), 0),
        )

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
        }
        if self.kv_cache_memory_gib:
            arguments["kv_cache_memory_bytes"] = int(self.kv_cache_memory_gib * 2**30)
        elif on_cpu:
            arguments["kv_cache_memory_bytes"] = cpu.cache_bytes(job.files.config, job.max_length, job.kv_cache_dtype, job.memory_share)
        return arguments
