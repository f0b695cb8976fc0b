"""The verb ``rm``: removes runs, after a question."""

import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from niah.commands.list import listed
from niah.errors import NiahError
from niah.runs import store
from niah.terminal import say
from niah.units import format_bytes, format_count


def main(words: list[str]) -> int:
    """Exit code of ``rm DIR [DIR ...] [yes=true]``: 1 where the answer is not yes."""
    paths = [Path(word) for word in words if word not in ("yes=true", "--yes", "-y")]
    for word in words:
        if word.startswith("yes=") and word != "yes=true":
            raise NiahError(f"rm: got {word}; expected yes=true, or nothing to be asked; nothing was removed")
    if not paths:
        raise NiahError("rm: which run? expected its folder, as rm outputs/NAME")
    for path in paths:
        if not store.is_run(path) and (inside := store.runs_in(path)):
            raise NiahError(
                f"rm: {path}: holds {format_count(len(inside), 'run')}, and is none itself; expected runs, as {path}/*"
                "; nothing was removed"
            )
        if not path.is_dir() or not store.is_run(path):
            raise NiahError(f"rm: {path}: no run here; expected a folder with run.json; nothing was removed")
        if path.is_symlink():
            raise NiahError(f"rm: {path}: is a link; expected the run's own folder; nothing was removed")
    for path in paths:
        one = listed(path)
        say(f"{path}: {one.num_answers:,} answers of {one.model or 'a run'}, {format_bytes(one.bytes)}")
    if len(paths) == len(words) and not _agreed(len(paths)):
        say("nothing was removed")
        return 1
    for path in paths:
        _remove(path)
        say(f"{path}: removed")
    return 0


def _agreed(num: int) -> bool:
    """Whether a person at the terminal says yes. Raises NiahError where nobody can be asked."""
    if not sys.stdin or not sys.stdin.isatty():
        raise NiahError("rm: nobody to ask at this terminal; expected yes=true in the command; nothing was removed")
    say(f"remove {'it' if num == 1 else f'all {num}'} for good? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _remove(path: Path) -> None:
    """Raises NiahError where another process runs in the folder, or the disk refuses."""
    try:
        with FileLock(str(path / ".lock"), timeout=0):
            shutil.rmtree(path)
    except Timeout as error:
        raise NiahError(f"rm: {path}: a process is running in this folder; wait for it, or stop it") from error
    except OSError as error:
        raise NiahError(f"rm: {path}: cannot be removed ({error.strerror}); part of it may be gone") from error
