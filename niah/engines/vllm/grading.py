"""Teacher forcing through vLLM's prefix cache: only the end of a prompt is computed again.

``prompt_logprobs`` alone would read the whole prompt anew; with ``skip_reading_prefix_cache`` off vLLM computes what
follows the last cached block, and has log-probabilities of that alone. How much that is depends on where the prompt
ends and on what was answered, since an answer is cached as well. A place of the right answer that is not in it comes
from the answer's own first step, or from a shorter request that ends at that place (``Grading``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from niah.errors import NiahError
from niah.records import Forced, Grade, Prompt

if TYPE_CHECKING:
    from vllm import SamplingParams

_TOP = 20
"""Tokens that are listed at each place (vLLM's default of max_logprobs): a rival is almost always among them."""
_TOP_UP_TO = 2**20
"""Of longer prompts the target alone is listed, except at the places of rivals: vLLM's first runner makes the lists
for every place of the prompt (v1/worker/gpu_model_runner.py, _get_prompt_logprobs_dict)."""
MAX_TAIL_BYTES = 2**30
"""Logits of the part that is computed again, in float32: beyond this nothing is graded unless asked for."""
_ROWS_AT_ONCE = 1024
"""Rows of prompt logits that vLLM's second runner holds at a time (v1/worker/gpu/sample/prompt_logprob.py)."""


def hindrance(arguments: Mapping[str, Any]) -> str:
    """Why an engine opened with these arguments of vLLM's cannot grade; empty where it can."""
    from vllm import SamplingParams

    if not {"skip_reading_prefix_cache", "flat_logprobs"} <= set(SamplingParams.__struct_fields__):
        return "this vLLM cannot read its prefix cache for log-probabilities of a prompt; expected 0.24 or later"
    if (mode := arguments.get("logprobs_mode", "raw_logprobs")) != "raw_logprobs":
        return f"engine.args.logprobs_mode is {mode}; expected raw_logprobs, the model's own"
    return ""


def is_cheap(config: Any) -> bool:
    """Whether the prefix cache of vLLM's ``config`` leaves only a block to compute, whose logits take little room."""
    cache, vocabulary = config.cache_config, config.model_config.get_vocab_size()
    runs_second = bool(getattr(config, "use_v2_model_runner", False))  # versions before it have the first alone
    num_rows = min(cache.block_size, _ROWS_AT_ONCE) if runs_second else cache.block_size
    return bool(cache.enable_prefix_caching) and num_rows * vocabulary * 4 <= MAX_TAIL_BYTES


def num_listed(config: Any) -> int:
    """Tokens to list at each place, as many as vLLM's ``config`` allows."""
    most = config.model_config.max_logprobs
    return _TOP if most < 0 else min(_TOP, most)


def may_lack_first(prompt: Prompt, block_size: int) -> bool:
    """Whether vLLM may have the whole prompt in its cache when the right answer stands behind it.

    It has where a block of ``block_size`` tokens ends on the prompt's last token, or within an answer that was right.
    The right answer's first token is then not computed again, and its place is taken from the answer's own first step.
    vLLM gives log-probabilities for all steps or none (0.4 ms a token on a CPU): they are asked for in this case alone.
    Where the cache holds other blocks than these, a request for that place is sent.
    """
    if prompt.forced is None:
        return False
    start = len(prompt.ids)
    return -(-start // block_size) * block_size < start + len(prompt.forced.ids)


@dataclass(frozen=True)
class _Place:
    """What is known of one token of the right answer. ``row`` are the tokens listed in its place, with itself."""

    logprob: float
    rank: int
    row: Mapping[int, Any]


@dataclass(frozen=True)
class Request:
    """What to send: the prompt with the first ``num_forced`` ids of the right answer behind it."""

    ids: np.ndarray
    num_forced: int
    parameters: "SamplingParams"


class Grading:
    """The grading of one answer: the places of the right one that are known, and what is sent for the others.

    ``next`` and ``take`` follow each other until nothing is to be sent, then ``grade`` has all. The first request holds
    the whole right answer. Where vLLM found more than the prompt in its cache, the first places are missing: the
    answer's own first step is the row of the first one, and a request that ends just before the last one missing gives
    that one as the token it samples (no other is allowed) and those before it down to its own cached part.
    ``answered`` is vLLM's output of the answer, asked for with ``listed`` log-probabilities a step where
    ``may_lack_first``; without them the first place, if it lacks, takes a request too.
    """

    def __init__(self, prompt: Prompt, forced: Forced, answered: Any, listed: int):
        self._prompt = prompt
        self._forced = forced
        self._ids = forced.ids.tolist()
        self._answered = answered
        self._listed = listed if forced.rivals else 0
        self._rivals = {place for place, _ in forced.rivals} if listed else set()
        self._places: dict[int, _Place] = {}
        self._sent: list[int] = []

    def next(self) -> Request | None:
        """What to send now; None when every place is known. Raises NiahError where vLLM does not give one."""
        if not self._sent:
            return self._request(len(self._ids))
        if 0 in self._missing():
            self._take_first_step()
        missing = self._missing()
        if not missing:
            return None
        if missing[-1] in self._sent:
            raise NiahError(f"vLLM gave no log-probability of token {missing[-1] + 1} of the right answer")
        return self._request(missing[-1])

    def take(self, output: Any) -> None:
        """Keeps the places that are in a finished request. Raises NiahError for rows that cannot be told apart."""
        num_forced = self._sent[-1]
        if num_forced < len(self._ids):
            self._keep(num_forced, output.outputs[0].logprobs[0])
        if output.prompt_logprobs is None:
            return
        num_tokens, start = len(output.prompt_token_ids), len(self._prompt.ids)
        offset, first = computed_rows(len(output.prompt_logprobs), num_tokens, output.num_cached_tokens)
        for place in range(max(0, first - start), num_forced):
            self._keep(place, output.prompt_logprobs[start + place - offset])

    def grade(self, seconds: float) -> Grade:
        """A rival outside the top is taken at the last of the top: the true margin is then at least the one given."""
        places, forced = self._places, self._forced
        target = [places[place] for place in range(forced.start, len(self._ids))]
        margins = [
            _lead(places[place], token, self._listed) for place, token in forced.rivals if place in self._rivals
        ]
        return Grade(
            logprob=sum(one.logprob for one in target), num_tokens=len(target),
            worst_rank=max(one.rank for one in target), margin=min(margins, default=None), seconds=seconds,
        )

    def _missing(self) -> list[int]:
        """Places that the grade needs and that are not known, ascending."""
        needed = self._rivals.union(range(self._forced.start, len(self._ids)))
        return sorted(place for place in needed if not self._is_known(place))

    def _is_known(self, place: int) -> bool:
        """A rival's place needs more than its own token."""
        return place in self._places and (place not in self._rivals or len(self._places[place].row) > 1)

    def _keep(self, place: int, row: Mapping[int, Any]) -> None:
        """The own token is always listed: a row without it is not the row of this place."""
        own = row.get(self._ids[place])
        if own is not None and (place not in self._places or len(row) > len(self._places[place].row)):
            self._places[place] = _Place(own.logprob, own.rank, row)

    def _take_first_step(self) -> None:
        """The answer's first step has the first place, if the right token was among the likeliest."""
        steps = self._answered.outputs[0].logprobs
        own = steps[0].get(self._ids[0]) if steps else None
        if own is None:
            return
        row = steps[0]
        if self._listed:
            self._places[0] = _Place(own.logprob, own.rank, row)
        elif own.logprob > min(one.logprob for one in row.values()):  # else tokens as likely may be left out
            rank = sum(one.logprob >= own.logprob for one in row.values())  # ties count, as where nothing is listed
            self._places[0] = _Place(own.logprob, rank, row)

    def _request(self, num_forced: int) -> Request:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        ids = np.concatenate([self._prompt.ids, self._forced.ids[:num_forced]])
        own: dict[str, Any] = {}
        if num_forced < len(self._ids):
            own = {"logprobs": self._listed, "allowed_token_ids": [self._ids[num_forced]], "ignore_eos": True}
        if num_forced == len(self._ids) or self._missing()[0] < num_forced:
            own["prompt_logprobs"] = self._listed if len(ids) <= _TOP_UP_TO else 0
        self._sent.append(num_forced)
        return Request(ids, num_forced, SamplingParams(
            temperature=0.0,
            max_tokens=1,
            skip_reading_prefix_cache=False,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **own,
        ))


def computed_rows(num_rows: int, num_tokens: int, num_cached: int | None) -> tuple[int, int]:
    """Where vLLM's rows of a prompt begin: the row of token i is ``rows[i - offset]``, for i from ``first`` on.

    vLLM's first runner gives a row for each of ``num_tokens``, those of the cached part uninitialised
    (v1/worker/gpu_model_runner.py, LogprobsTensors.empty_cpu); the second gives none for it
    (v1/worker/gpu/sample/prompt_logprob.py). In both the first row is empty, and the row of a token is computed from
    the one before it. A request that vLLM put off and began again may have found more in the cache by then than
    ``num_cached`` says. Raises NiahError for numbers that fit neither.
    """
    offset = num_tokens - num_rows
    if num_cached is None or not 0 <= num_cached < num_tokens or not (offset == 0 or num_cached <= offset < num_tokens):
        raise NiahError(
            f"vLLM gave {num_rows:,} rows of log-probabilities for {num_tokens:,} tokens, {num_cached} of them cached; "
            "expected one for each, or for each that was not cached"
        )
    return offset, max(offset, num_cached) + 1


def _lead(place: _Place, rival: int, num_listed: int) -> float:
    """Nats between the own token and a rival, or the last of the likeliest where the rival is not among them."""
    if rival in place.row:
        return float(place.logprob - place.row[rival].logprob)
    top = sorted((one.logprob for one in place.row.values()), reverse=True)
    return float(place.logprob - top[:num_listed][-1])  # an own token outside the top is listed below its last
