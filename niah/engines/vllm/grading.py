"""Teacher forcing through vLLM's prefix cache: only the end of a prompt is computed again.

``prompt_logprobs`` alone would read the whole prompt anew; with ``skip_reading_prefix_cache`` off it does not, and
the rows before the cached part hold nothing of use: so rows are counted from the end.
"""

from typing import TYPE_CHECKING, Any

from niah.records import Forced, Grade

if TYPE_CHECKING:
    from vllm import SamplingParams

_TOP = 20
"""Tokens that are listed at each place (vLLM's max_logprobs): a rival is almost always among them."""
_TOP_UP_TO = 2**20
"""Of longer prompts the target alone is listed: vLLM lists the top for every place of the prompt."""
MAX_TAIL_BYTES = 2**30
"""Logits of the part that is computed again, in float32: beyond this nothing is graded unless asked for."""


def parameters(forced: Forced, num_tokens: int) -> "SamplingParams":
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        prompt_logprobs=_TOP if forced.rivals and num_tokens <= _TOP_UP_TO else 0,
        skip_reading_prefix_cache=False,
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def supported() -> bool:
    """Whether this vLLM can read the cache for prompt logprobs."""
    from vllm import SamplingParams

    return {"skip_reading_prefix_cache", "flat_logprobs"} <= set(SamplingParams.__struct_fields__)


def grade(output: Any, forced: Forced, seconds: float) -> Grade | None:
    """The grade in a finished request, None where vLLM gave no logprobs.

    A rival outside the top is taken at the last of the top: the true margin is then at least the one given.
    """
    rows = output.prompt_logprobs
    if rows is None:
        return None
    ids = forced.ids.tolist()
    places = [rows[len(rows) - len(ids) + place] for place in range(len(ids))]
    found = [row.get(token) for row, token in zip(places, ids, strict=True)]
    if any(one is None for one in found[forced.start :]):
        return None
    margin = None
    if forced.rivals and len(places[0]) > 1:
        margin = min(
            found[place].logprob - _logprob_at_most(places[place], token) for place, token in forced.rivals
        )
    target = found[forced.start :]
    return Grade(
        logprob=sum(one.logprob for one in target), num_tokens=len(target), worst_rank=max(one.rank for one in target),
        margin=margin, seconds=seconds,
    )


def _logprob_at_most(row: Any, token: int) -> float:
    """The token's log-probability, or that of the last one listed: a token that is not listed has less."""
    listed = row.get(token)
    return float(listed.logprob if listed else min(one.logprob for one in row.values()))
