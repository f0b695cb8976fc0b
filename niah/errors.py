"""The one exception a user is meant to read, and what other exceptions say on one line."""

import errno
import sysconfig
import traceback
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_LACKING = {
    errno.EMFILE: "this process to be allowed more open files (ulimit -n)",
    errno.ENFILE: "the machine to have fewer open files",
    errno.EAGAIN: "this user to be allowed more processes (ulimit -u)",
    errno.ENOMEM: "more memory (the machine's, the container's, ulimit -v), or shorter contexts",
    errno.EACCES: "permission to read and write it",
    errno.EPERM: "permission to read and write it",
    errno.ENAMETOOLONG: "a shorter name",
    errno.ESTALE: "a disk that is there",
    errno.EIO: "a disk that is there and sound",
}


class NiahError(Exception):
    """Something the user can mend; printed as one line, no traceback; a command that it ends has ``exit_code``.

    Write it as ``where: what is wrong; got ...; expected ...; what to do``.
    """

    exit_code = 1


class UnansweredError(NiahError):
    """All is done that could be, but some trials ended without an answer: the same command tries them again."""

    exit_code = 5


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


class ServiceError(NiahError):
    """A server that a trial's prompt is made with (embeddings, a reranker, a retriever) gave nothing that can be used:
    the trial's outcome, which the same command tries again. Before the first trial it ends the command.

    ``status`` is that of HTTP, where it answered with one.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


def first_line(error: BaseException) -> str:
    """The first line of an exception's message that holds anything; its type's name where none does."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def own_line(error: BaseException) -> str:
    """file:line of the innermost call that is neither niah's nor a library's: a plug-in's of the user. Empty where
    there is none."""
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f"{error.filename}:{error.lineno}"
    libraries = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
    own = [
        call for call in traceback.extract_tb(error.__traceback__)
        if not (Path(call.filename).is_relative_to(_PACKAGE) or call.filename.startswith(("<", *libraries)))
    ]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def reason(error: BaseException) -> str:
    """Why something failed, as one line of at most 500 characters: type and first line of the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = first_line(error)
    name = type(error).__name__
    return f"{name}: {line if line != name else ''}"[:500]


def is_full(error: OSError) -> bool:
    """Whether a place takes no more, or nothing at all."""
    return error.errno in _FULL


def lacking(error: OSError) -> str:
    """What was expected of the machine, where an error says that it is this that is wanting: no bug then, wherever it
    comes from. Empty for others."""
    return "a writable place with free space" if is_full(error) else _LACKING.get(error.errno or 0, "")
