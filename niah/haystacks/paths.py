"""Which files a path, folder or glob names, and what changes when one of them does."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from niah.errors import NiahError
from niah.haystacks import Skip

ALL = "**/*"


def stamp(files: Iterable[Path]) -> str:
    """A hash of names, sizes, times and modes: another one whenever the files may hold other text."""
    digest = hashlib.sha256()
    for file in files:
        try:
            status = file.stat()
            seen = f"{status.st_size} {status.st_mtime_ns} {status.st_mode}"
        except OSError as error:
            seen = f"error {error.errno}"
        digest.update(f"{file}\0{seen}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def matching(path: str, pattern: str, skip: Skip, suffixes: frozenset[str] = frozenset()) -> list[Path]:
    """What a file, folder or glob names, sorted; ``suffixes`` limit a folder's files under the default pattern."""
    place = Path(os.path.expanduser(path))
    if os.path.isdir(place):
        suffixes = suffixes if pattern == ALL else frozenset()
        below = _below(place, pattern, skip)
        found: Iterable[Path] = (file for file in below if not suffixes or file.suffix.lower() in suffixes)
        wanted = f"files matching {pattern}{' with a known text suffix' if suffixes else ''} in it (haystack.pattern)"
    elif os.path.exists(place):
        if not os.path.isfile(place):  # reading it may never end
            raise NiahError(
                f"haystack.path: {shown(place)} is a pipe, a socket or a device; expected a file, folder or glob; "
                "write what it gives to a file first"
            )
        return [place]
    else:
        wild = next((n for n, part in enumerate(place.parts) if set(part) & set("*?[")), len(place.parts))
        folder, rest = Path(*place.parts[:wild]), "/".join(place.parts[wild:])
        found = _below(folder, rest, skip) if rest and os.path.isdir(folder) else []
        wanted = "an existing file, folder or glob"
    kept = []
    for file in sorted(found):
        if os.path.isfile(file):
            kept.append(file)
        else:
            skip(f"{shown(file)}: is not a readable file (a link to nothing, a pipe or a device); leave it out")
    if not kept:
        raise NiahError(f"haystack.path: nothing to read; got {path!r}; expected {wanted}")
    return kept


def _below(folder: Path, pattern: str, skip: Skip) -> Iterator[Path]:
    """Files below a folder that match. Linked folders are entered, each folder once: links may go round."""
    wanted = tuple(pattern.split("/"))
    depth = None if "**" in wanted else len(wanted)
    hidden = any(part.startswith(".") for part in wanted)
    seen: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        reason = f"{shown(error.filename)}: cannot be listed ({error.strerror}); check its permissions"
        if Path(error.filename) == folder:
            raise NiahError(f"haystack.path: {reason}") from error
        skip(reason)

    for place, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        try:
            status = os.stat(place)
        except OSError as error:  # it is gone since its parent was listed
            unreadable(error)
            folders.clear()
            continue
        inside = Path(place).relative_to(folder).parts
        if (status.st_dev, status.st_ino) in seen or (depth is not None and len(inside) >= depth):
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if hidden or not name.startswith("."))
        for name in names:
            if (hidden or not name.startswith(".")) and _matches((*inside, name), wanted):
                yield Path(place, name)


def _matches(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return _matches(path, pattern[1:] or ("*",)) or (bool(path) and _matches(path[1:], pattern))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def shown(file: object) -> str:
    """A file's name fit for one line, whatever bytes it is made of."""
    return " ".join(str(file).encode(errors="replace").decode().splitlines())
