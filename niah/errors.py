"""The one exception a user is meant to read, and what other exceptions say on one line."""


class NiahError(Exception):
    """Something the user can mend; printed as one line, exit code 1, no traceback.

    Write it as ``where: what is wrong; got ...; expected ...; what to do``.
    """


class EngineStoppedError(NiahError):
    """An engine answers no more, or did not start: another one may, opened anew or with other settings.

    ``words`` say why, ``seconds`` how long the oldest of the prompts was under way that it left without an answer.
    ``in_grading``: it was not a prompt that ended it but the right answer forced after one.
    """

    def __init__(
        self, message: str, *, words: str = "", is_out_of_memory: bool = False, seconds: float = 0.0,
        in_grading: bool = False,
    ):
        super().__init__(message)
        self.words = words or message
        self.is_out_of_memory = is_out_of_memory
        self.seconds = seconds
        self.in_grading = in_grading


class NoRoomError(NiahError):
    """An engine has room for prompts up to ``max_length`` tokens, fewer than it was to be opened for; ``words`` are its
    own. Opened for those it may run."""

    def __init__(self, message: str, max_length: int, words: str):
        super().__init__(message)
        self.max_length = max_length
        self.words = words


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
