"""An open vLLM: prompts in, completions out, and what it says of itself."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from niah.engines import Job, Session, processes
from niah.engines.failures import MAX_IN_A_ROW, failure, no_room
from niah.engines.vllm import causes, drafts
from niah.engines.vllm.grading import Grading, may_lack_first, num_listed
from niah.errors import EngineStoppedError, NiahError, reason
from niah.planner import architecture
from niah.records import Completion, Drafts, Failure, Prompt

_COUNTERS = (
    "num_preemptions", "prefix_cache_queries", "prefix_cache_hits", "external_prefix_cache_queries",
    "external_prefix_cache_hits",
)
"""Those of vLLM's that say what befell prompts in the KV pool; all but the first in tokens."""
_USED = "vllm:kv_cache_usage_perc"
"""Share of the KV pool's blocks that belong to requests under way, after each step."""


@dataclass
class _Request:
    """A prompt in the engine; with ``grading`` it is the right answer after it, and ``answered`` the model's own.

    ``begun`` is when grading was.
    """

    key: int
    prompt: Prompt
    sent: float
    answered: Completion | None = None
    grading: Grading | None = None
    begun: float = 0.0


def keeps_all(config: Mapping[str, Any]) -> bool:
    """Whether every layer keeps all of a prompt, by config.json; not where the plan does not know the model."""
    try:
        return all(layer.kind == "full" for layer in architecture.read(config, "config.json").layers)
    except NiahError:
        return False


def _is_gone(error: Exception) -> bool:
    """Whether the engine's own process has ended: vLLM's EngineDeadError, by name for it has moved between versions."""
    return type(error).__name__ == "EngineDeadError"


class VLLMSession(Session):
    """``graded``: whether the right answer is forced after each prompt that has been answered."""

    def __init__(
        self, llm: Any, job: Job, max_num_seqs: int, start_seconds: float, *, graded: bool, served: dict[str, Any]
    ):
        self.served = served
        self._llm = llm
        self._engine = llm.llm_engine
        self._job = job
        self._max_num_seqs = max_num_seqs
        self._start_seconds = start_seconds
        self._graded = graded
        self._num_listed = num_listed(self._engine.vllm_config) if graded else None
        self._num_not_graded = 0
        self._not_graded_because: str | None = None
        self._gave_up = ""
        self._is_drafting = self._engine.vllm_config.speculative_config is not None
        self._counted_drafts = Drafts(0, 0, 0)
        self._sent_tokens = 0
        self._num_requests = 0
        self._counts_agree = True  # until a request fails: then vLLM may have counted a part of it
        self._log = causes.Log(job.log)
        self._memory = processes.MemoryKills()
        self._running: dict[str, _Request] = {}
        self._is_all_kept = keeps_all(job.files.config)

    def generate(
        self, prompts: Iterable[tuple[int, Prompt]]
    ) -> Iterator[tuple[int, Completion | Failure]]:
        """Keeps ``max_num_seqs`` prompts in the engine and yields each result as it finishes.

        Where a step fails under several prompts nobody knows whose it was: they are asked again, one by one. Where the
        engine itself is gone what it was reading has no result; EngineStoppedError says why.
        """
        waiting = iter(prompts)
        running = self._running = {}
        again: deque[_Request] = deque()
        failures = 0
        more = True
        while more or running or again:
            while more and not again and len(running) < self._max_num_seqs:
                try:
                    key, prompt = next(waiting)
                except StopIteration:
                    more = False
                    break
                if (refused := self._ask(key, prompt, running)) is not None:
                    yield key, refused
            if again and not running:
                request = again.popleft()
                if (refused := self._ask(request.key, request.prompt, running)) is not None:
                    yield request.key, refused
            if not running:
                continue
            try:
                outputs = self._engine.step()
                failures = 0 if outputs else failures
            except Exception as error:
                broken, running = running, {}
                self._running = running
                stopped = self._stopped(error, list(broken.values()))
                for request in broken.values():
                    if request.answered:
                        yield request.key, self._not_graded(request.answered, stopped.words)
                unanswered = [request for request in broken.values() if not request.answered]
                if _is_gone(error):
                    raise stopped from error
                if len(unanswered) > 1:
                    again.extend(unanswered)
                elif unanswered:
                    seconds = time.perf_counter() - unanswered[0].sent
                    yield unanswered[0].key, failure(error, seconds)
                failures += not stopped.is_out_of_memory  # that is the prompt's, and the engine goes on
                if failures >= MAX_IN_A_ROW:
                    raise stopped from error
                self._forget(list(broken))
                self._log.mark()
                continue
            for output in outputs:
                if output.finished:
                    request = running.pop(output.request_id)
                    result = self._next(output, request)
                    if isinstance(result, Completion):
                        if not running:
                            self._idle()
                        yield request.key, result
                    else:
                        name, following = result
                        running[name] = following

    def _ask(self, key: int, prompt: Prompt, running: dict[str, _Request]) -> Failure | None:
        """Puts a prompt into the engine, to be found in ``running``; or what it is recorded as where that refuses it.

        Raises EngineStoppedError where the engine is gone.
        """
        try:
            name = self._send(prompt.ids, self._greedy(prompt), prompt.salt)
            running[name] = _Request(key, prompt, time.perf_counter())
        except Exception as error:
            if _is_gone(error):
                raise self._stopped(error, []) from error
            return failure(error, 0.0)
        return None

    def _idle(self) -> None:
        """Nothing is under way: what is printed from here on is about what comes. Raises NiahError as _check_counts."""
        self._log.mark()
        self._memory = processes.MemoryKills()
        self._check_counts()

    def _stopped(self, error: Exception, running: list[_Request]) -> EngineStoppedError:
        """What a failed step says: why, by the engine's own words, and what it was doing."""
        self._counts_agree = False
        cause = causes.of(error, self._log.since)
        killed = "" if cause.is_known else self._memory.killed()
        words = f"{killed}; {cause.words}" if killed else cause.words
        sent = [request.sent for request in running if not request.answered]
        return EngineStoppedError(
            f"engine=vllm: stopped answering; {words}; the same command continues where this run stopped",
            words=words, is_out_of_memory=bool(killed) or cause.is_out_of_memory,
            seconds=time.perf_counter() - min(sent) if sent else 0.0,
            in_grading=bool(running) and not sent,
        )

    def stop_grading(self) -> None:
        """Forces no more answers: two engines have ended in that."""
        self._graded = False
        self._gave_up = self._not_graded_because or "two engines ended while they forced right answers"

    def _next(self, output: Any, request: _Request) -> Completion | tuple[str, _Request]:
        """What follows a finished request: another for the grade of its answer, by name, or the answer.

        At once: the prompt is still in the prefix cache. Whatever goes wrong with a grade, the answer stays.
        """
        prompt, forced = request.prompt, request.prompt.forced
        answer = request.answered or self._completion(output, prompt, time.perf_counter() - request.sent)
        if self._gave_up and forced:
            return self._not_graded(answer, self._gave_up)
        if not self._graded or not (forced or prompt.targets):
            return answer
        try:
            if forced is None:
                raise NiahError(no_room(prompt))
            grading, begun = request.grading, request.begun
            if grading is None:
                grading, begun = Grading(prompt, forced, output, self._num_listed or 0), time.perf_counter()
            else:
                grading.take(output)
            if following := grading.next():
                name = self._send(following.ids, following.parameters, prompt.salt)
                return name, replace(request, answered=answer, grading=grading, begun=begun)
            return replace(answer, grade=grading.grade(time.perf_counter() - begun))
        except Exception as error:
            return self._not_graded(answer, str(error) if isinstance(error, NiahError) else reason(error))

    def _send(self, ids: np.ndarray, parameters: Any, salt: str) -> str:
        from vllm import TokensPrompt

        tokens = TokensPrompt(prompt_token_ids=ids.tolist())
        if salt:
            tokens["cache_salt"] = salt
        self._sent_tokens += len(ids)
        self._num_requests += 1
        name = f"niah-{self._num_requests}"
        try:
            self._engine.add_request(name, tokens, parameters)
        except Exception:
            self._counts_agree = False
            raise
        return name

    def _forget(self, names: list[str]) -> None:
        """Drops the requests of a failed step, which the scheduler would keep for ever.

        And the prefix cache: it lists blocks as soon as they are scheduled, and that step wrote none.
        """
        self._engine.abort_request(names)
        self._engine.reset_prefix_cache()

    def _greedy(self, prompt: Prompt) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        block_size = self._engine.vllm_config.cache_config.block_size
        lists_steps = self._graded and may_lack_first(prompt, block_size)
        return SamplingParams(
            temperature=0.0,
            max_tokens=prompt.max_tokens,
            stop_token_ids=list(self._job.tokenizer.stop_ids),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            logprobs=self._num_listed if lists_steps else None,
            flat_logprobs=lists_steps,
        )

    def _not_graded(self, answer: Completion, because: str) -> Completion:
        self._num_not_graded += 1
        self._not_graded_because = because
        return replace(answer, not_graded=because)

    def _completion(self, output: Any, prompt: Prompt, seconds: float) -> Completion:
        seen = len(output.prompt_token_ids)
        if seen != len(prompt.ids):
            raise NiahError(f"engine=vllm: read {seen} prompt tokens; expected the {len(prompt.ids)} sent; report this")
        generated = output.outputs[0]
        ids = list(generated.token_ids)
        while ids and ids[-1] in self._job.tokenizer.stop_ids:
            ids.pop()
        return Completion(
            text=self._job.tokenizer.decode(ids),
            ids=tuple(ids),
            num_tokens=len(generated.token_ids),
            num_prompt_tokens=seen,
            num_cached_tokens=output.num_cached_tokens,
            finish_reason=str(generated.finish_reason),
            seconds=seconds,
            first_token_seconds=self._first_token_seconds(output.metrics),
            drafts=self._drafts(generated) if self._is_drafting else None,
        )

    def _drafts(self, generated: Any) -> Drafts | None:
        """Those of an answer, as vLLM tells of each; before 0.32 the difference of its counters, where one prompt is in
        work at a time. None where nobody can say whose they were."""
        if found := drafts.of_request(generated):
            return found
        now, before = drafts.counted(self._llm), self._counted_drafts
        if now is None or self._max_num_seqs > 1:
            return None
        self._counted_drafts = now
        return now.minus(before)

    def _first_token_seconds(self, metrics: Any) -> float | None:
        """From sending the prompt; where several are in work from when the engine begins it, without the wait for the
        others."""
        if metrics is None:
            return None
        if self._max_num_seqs == 1:
            return float(metrics.first_token_latency)
        return float(metrics.first_token_ts - metrics.scheduled_ts)

    def facts(self) -> dict[str, Any]:
        config = self._engine.vllm_config
        cache = config.cache_config
        return {
            "engine": "vllm",
            **self.served,
            "start_seconds": round(self._start_seconds, 3),
            "max_model_len": config.model_config.max_model_len,
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "block_size": cache.block_size,
            "kv_cache_size_tokens": getattr(cache, "kv_cache_size_tokens", None),
            "num_kv_blocks": cache.num_gpu_blocks,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "enforce_eager": config.model_config.enforce_eager,
            "graded": self._graded,
            "num_not_graded": self._num_not_graded,
            "not_graded_because": self._not_graded_because,
            "prompt_tokens_sent": self._sent_tokens,
            "prompt_tokens_counted": self._counted_tokens(),
            **({"drafts_counted": self._told_drafts()} if self._is_drafting else {}),
        }

    def reading(self) -> tuple[int, int] | None:
        """By the blocks of the KV pool that are in use: those of the prompts under way, as far as they are scheduled.
        None where layers give up blocks while they read, and in a vLLM that tells its use at a request's end alone."""
        requests, cache = list(self._running.values()), self._engine.vllm_config.cache_config
        if not (self._is_all_kept and requests and cache.num_gpu_blocks):
            return None
        used = next((one.value for one in self._llm.get_metrics() if one.name == _USED), None)
        num = sum(len(request.prompt.ids) for request in requests)
        return (min(num, round(used * cache.num_gpu_blocks) * cache.block_size), num) if used else None

    def counters(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for metric in self._llm.get_metrics():
            name = metric.name.removeprefix("vllm:")
            if name in _COUNTERS:
                found[name] = found.get(name, 0) + int(metric.value)
        return found

    def _told_drafts(self) -> dict[str, int] | None:
        """vLLM's counters over all requests, those of the control sample too."""
        found = drafts.counted(self._llm)
        return None if found is None else asdict(found)

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
