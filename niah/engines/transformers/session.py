"""An open transformers model: one prompt at a time, read in chunks, answered greedily, then graded."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from niah import environment
from niah.engines import Job, Session, Traced
from niah.engines.failures import MAX_IN_A_ROW, failure, no_room
from niah.engines.transformers.cache import can_be_cut_anywhere, empty_cache, fork
from niah.engines.transformers.settings import TransformersSettings
from niah.errors import EngineStoppedError, NiahError, reason
from niah.planner import transformers as planner
from niah.records import Completion, Failure, Forced, Grade, Outcome, Prompt

_TOP = 20
"""Tokens listed at each place, the chosen one among them."""


@dataclass
class _Past:
    """A cache and the ids in it."""

    ids: np.ndarray
    cache: Any


def load(job: Job, dtype: str, attention: str, *, on_gpu: bool) -> Any:
    """The model, ready to read. ``hf_overrides`` of the model's engine arguments change its config, as in vLLM.

    Raises NiahError where weights of it are not there: transformers would fill them with random numbers.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    where: dict[str, Any] = {
        "pretrained_model_name_or_path": job.files.engine_path, "revision": job.files.revision or "main",
        "trust_remote_code": job.trust_remote_code,
    }
    config = AutoConfig.from_pretrained(**where)
    _override(config, job.arguments.get("hf_overrides", {}))
    spread = {"device_map": "auto"} if on_gpu and torch.cuda.device_count() > 1 else {}
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        **where, config=config, dtype=getattr(torch, dtype), attn_implementation=attention, output_loading_info=True,
        use_safetensors=None if job.allow_pickle else True, **spread,
    )
    network, found = loaded
    if lost := sorted(found["missing_keys"]):
        raise NiahError(
            f"model.path: {job.files.engine_path}: {len(lost)} tensors of its architecture are missing "
            f"({', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}); expected all; fetch the weights again"
        )
    return (network if spread or not on_gpu else network.to("cuda")).eval()


def _override(config: Any, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        if name.endswith("_config") and hasattr(config, name):
            _override(getattr(config, name), value)
        else:
            setattr(config, name, value)


def _scales(cache_dtype: str) -> str | None:
    """Where the scales of the cache come from; None where nothing is scaled."""
    if cache_dtype in planner.QUANTIZED_BITS:
        return f"per group of {planner.GROUP}"
    return "1.0" if cache_dtype.startswith("fp8") else None


class TransformersSession(Session):
    """``served`` is what decided the answers, for each row."""

    def __init__(self, network: Any, job: Job, settings: TransformersSettings, chunk: int, start_seconds: float):
        self._network = network
        self._job = job
        self._settings = settings
        self._chunk = chunk
        self._start_seconds = start_seconds
        self._device = network.get_input_embeddings().weight.device
        self._dtype = getattr(torch, settings.dtype or job.dtype)
        self._past: _Past | None = None
        self._empty()  # what cannot be made is an error before the first trial
        attention = network.config._attn_implementation
        self.served = {
            "kv_cache_dtype": job.kv_cache_dtype,
            "attention_backend": attention,
            "flash_attn_version": 2 if attention == "flash_attention_2" else None,
            **({"flash_attn": environment.installed("flash-attn")} if attention == "flash_attention_2" else {}),
            "queries_quantized": False,
            "kv_scales": _scales(job.kv_cache_dtype),
            "kv_rounding": settings.rounding,
            "prefix_caching": settings.prefix_caching,
            "dtype": str(self._dtype).removeprefix("torch."),
            "transformers": version("transformers"),
            "torch": version("torch"),
            "gpu": next((card["name"] for card in environment.gpus()), None) if self._device.type == "cuda" else None,
        }

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        """One prompt after the other; each result is a Traced or a Failure."""
        failures = 0
        for key, prompt in prompts:
            started = time.perf_counter()
            try:
                with torch.inference_mode():
                    result: Completion | Failure = self._answer(prompt, started)
                failures = 0
            except Exception as error:
                self._past = None
                result = failure(error, time.perf_counter() - started)
                failures += result.outcome != Outcome.OUT_OF_MEMORY  # that is the prompt's
                if failures >= MAX_IN_A_ROW:
                    yield key, result
                    raise EngineStoppedError(
                        f"engine=transformers: failed {failures} times in a row; {reason(error)}; the same command "
                        "continues where this run stopped"
                    ) from error
                torch.cuda.empty_cache()
            yield key, result

    def _answer(self, prompt: Prompt, started: float) -> Traced:
        cache, num_cached = self._begun(prompt)
        for start in range(num_cached, len(prompt.ids), self._chunk):
            ends = self._forward(prompt.ids[start : start + self._chunk], cache, num_logits=1)
        going = fork(cache)
        ids, steps, first = self._written(ends[-1], going, prompt.max_tokens, started)
        if going is cache:
            cache.crop(-(len(ids) - 1))
        seconds = time.perf_counter() - started
        grade, not_graded = self._graded(ends[-1], cache, prompt)
        is_spoilt = prompt.forced and not_graded  # what a grade that failed left in the cache is not known
        is_kept = self._settings.prefix_caching and not prompt.salt and not is_spoilt
        reusable = is_kept and can_be_cut_anywhere(cache)
        self._past = _Past(prompt.ids, cache) if reusable else None
        stops = self._job.tokenizer.stop_ids
        is_stopped = ids[-1] in stops
        text = ids
        while text and text[-1] in stops:
            text = text[:-1]
        return Traced(
            text=self._job.tokenizer.decode(text), num_tokens=len(ids), num_prompt_tokens=len(prompt.ids),
            num_cached_tokens=num_cached, finish_reason="stop" if is_stopped else "length", seconds=seconds,
            first_token_seconds=first, grade=grade, not_graded=not_graded, ids=tuple(text), steps=tuple(steps),
        )

    def _begun(self, prompt: Prompt) -> tuple[Any, int]:
        """A cache with the whole chunks that the prompt shares with the last one, and how many tokens that is.

        Chunks begin at the same places in every prompt, so those tokens would be computed in the same pieces again.
        """
        past, self._past = self._past, None
        if past is not None and not prompt.salt:
            size = min(len(past.ids), len(prompt.ids) - 1)
            differs = np.flatnonzero(past.ids[:size] != prompt.ids[:size])
            shared = int(differs[0]) if len(differs) else size
            keep = shared // self._chunk * self._chunk
            if keep:
                past.cache.crop(keep - len(past.ids))
                return past.cache, keep
        return self._empty(), 0

    def _empty(self) -> Any:
        truncates = self._settings.rounding == "truncate"
        return empty_cache(self._network.config, self._job.kv_cache_dtype, self._dtype, truncates=truncates)

    def _forward(self, ids: np.ndarray | list[int], cache: Any, num_logits: int) -> torch.Tensor:
        """Logits after the last ``num_logits`` of the ids, (num_logits, vocabulary), in the model's number format."""
        start = cache.get_seq_length()
        output = self._network(
            input_ids=torch.as_tensor(np.asarray(ids, dtype=np.int64), device=self._device)[None],
            position_ids=torch.arange(start, start + len(ids), device=self._device)[None],
            past_key_values=cache, use_cache=True, logits_to_keep=num_logits,
        )
        logits: torch.Tensor = output.logits[0]
        return logits

    def _written(
        self, logits: torch.Tensor, cache: Any, max_tokens: int, started: float
    ) -> tuple[list[int], list[dict[int, float]], float]:
        """Greedy ids with what was weighed at each, and when the first was there. The last one is not read any more."""
        ids: list[int] = []
        steps: list[dict[int, float]] = []
        first = 0.0
        while True:
            logprobs = torch.log_softmax(logits.float(), dim=-1)
            token = int(logits.argmax())
            top = torch.topk(logprobs, min(_TOP, len(logprobs)))
            ids.append(token)
            nearest = dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))
            steps.append({token: float(logprobs[token]), **nearest})
            first = first or time.perf_counter() - started
            if token in self._job.tokenizer.stop_ids or len(ids) == max_tokens:
                return ids, steps, first
            logits = self._forward([token], cache, num_logits=1)[-1]

    def _graded(self, logits: torch.Tensor, cache: Any, prompt: Prompt) -> tuple[Grade | None, str]:
        """The grade, or why there is none where there ought to be one. The answer stays, whatever goes wrong."""
        if not self._settings.graded or not (prompt.forced or prompt.targets):
            return None, ""
        if prompt.forced is None:
            return None, no_room(prompt)
        try:
            return self._grade(logits, cache, prompt.forced), ""
        except Exception as error:
            torch.cuda.empty_cache()
            return None, reason(error)

    def _grade(self, logits: torch.Tensor, cache: Any, forced: Forced) -> Grade:
        """Teacher forcing on the prompt's own cache. Ranks count ties, as vLLM's do."""
        started = time.perf_counter()
        ids = forced.ids.tolist()
        rows = [logits[None]]
        if len(ids) > 1:
            rows.append(self._forward(ids[:-1], fork(cache), num_logits=len(ids) - 1))
            if can_be_cut_anywhere(cache):
                cache.crop(1 - len(ids))
        each = torch.log_softmax(torch.cat(rows).float(), dim=-1)
        target = torch.tensor(ids, device=each.device)[:, None]
        logprobs = each.gather(1, target)[:, 0]
        ranks = (each >= logprobs[:, None]).sum(-1)
        margins = [float(logprobs[place] - each[place, token]) for place, token in forced.rivals]
        return Grade(
            logprob=float(logprobs[forced.start :].sum()), num_tokens=len(ids) - forced.start,
            worst_rank=int(ranks[forced.start :].max()), margin=min(margins, default=None),
            seconds=time.perf_counter() - started,
        )

    def facts(self) -> dict[str, Any]:
        return {
            "engine": "transformers",
            **self.served,
            "start_seconds": round(self._start_seconds, 3),
            "max_model_len": self._job.max_length,
            "device": str(self._device),
            "chunk_tokens": self._chunk,
            "num_threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
            "graded": self._settings.graded,
        }

    def close(self) -> None:
        """Frees the model's memory so that another can start in this process."""
        import gc

        self._network = self._past = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
