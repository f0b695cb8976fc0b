"""From exceptions to recorded failures."""

import re

from niah.errors import EngineStoppedError, reason
from niah.records import Failure, Outcome, Prompt

MAX_IN_A_ROW = 3
"""An engine that fails so often without an answer in between is given up; the same command continues."""
ENDED_BY_IT = "engine died"
"""The ``finish_reason`` of a prompt's row that took its engine along: asked twice, it is passed over from then on."""
OWN_CODE = (
    "the model brings Python code of its own, without which it does not load; model.trust_remote_code=true runs that "
    "code here, if you trust who wrote it"
)
_NO_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory|cannot allocate memory|"
    r"no available memory for the cache blocks|CUBLAS_STATUS_ALLOC_FAILED|oom-killed",
    re.IGNORECASE,
)


def is_out_of_memory(words: str) -> bool:
    """Whether an error's type and message say that memory ran out, a GPU's or the machine's."""
    return bool(_NO_MEMORY.search(words))


def failure(error: Exception, seconds: float) -> Failure:
    """What an exception on one prompt is recorded as."""
    memory = is_out_of_memory(f"{type(error).__name__}: {error}")
    return Failure(Outcome.OUT_OF_MEMORY if memory else Outcome.ENGINE_ERROR, reason(error), seconds)


def death(error: EngineStoppedError, seconds: float, num: int = 1) -> Failure:
    """A prompt that ended ``num`` engines, the last of them with ``error``, ``seconds`` after it was asked."""
    times = f"ended {num} engines; " if num > 1 else ""
    outcome = Outcome.OUT_OF_MEMORY if error.is_out_of_memory else Outcome.ENGINE_ERROR
    return Failure(outcome, f"{times}{error.words}"[:500], seconds, ENDED_BY_IT)


def no_room(prompt: Prompt) -> str:
    """Why a right answer that was not made (``prompt.forced``) cannot be graded."""
    return f"no room for the right answer within the answer's {prompt.max_tokens} tokens; raise task.max_tokens"
