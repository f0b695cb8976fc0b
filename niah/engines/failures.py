"""From exceptions to recorded failures."""

from niah.errors import reason
from niah.records import Failure, Outcome

MAX_IN_A_ROW = 3
"""An engine that fails so often without an answer in between is given up; the same command continues."""


def failure(error: Exception, seconds: float) -> Failure:
    """What an exception on one prompt is recorded as."""
    memory = "out of memory" in str(error).lower() or type(error).__name__ == "OutOfMemoryError"
    return Failure(Outcome.OUT_OF_MEMORY if memory else Outcome.ENGINE_ERROR, reason(error), seconds)
