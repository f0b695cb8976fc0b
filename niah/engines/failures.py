"""From exceptions to recorded failures."""

from niah.records import Failure, Outcome

MAX_IN_A_ROW = 3
"""An engine that fails so often without an answer in between is given up; the same command continues."""


def failure(error: Exception, seconds: float) -> Failure:
    """What an exception on one prompt is recorded as."""
    memory = "out of memory" in str(error).lower() or type(error).__name__ == "OutOfMemoryError"
    return Failure(Outcome.OUT_OF_MEMORY if memory else Outcome.ENGINE_ERROR, reason(error), seconds)


def reason(error: BaseException) -> str:
    """The first cause of an exception, as one line of at most 500 characters."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]
