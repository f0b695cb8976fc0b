"""The one exception a user is meant to read, and what other exceptions say on one line."""


class NiahError(Exception):
    """Something the user can mend; printed as one line, exit code 1, no traceback.

    Write it as ``where: what is wrong; got ...; expected ...; what to do``.
    """


class EngineStoppedError(NiahError):
    """An open engine answers no more: another one, opened anew, may."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message that holds anything; its type's name where none does."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def reason(error: BaseException) -> str:
    """Why something failed, as one line of at most 500 characters: type and first line of the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = first_line(error)
    name = type(error).__name__
    return f"{name}: {line if line != name else ''}"[:500]
