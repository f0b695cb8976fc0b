"""Source code as a haystack; and which files a path or pattern names, for every source that reads files."""

import hashlib
import json
import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from niah.errors import NiahError
from niah.haystacks import Haystack, Skip
from niah.limits import free_text, limited, one_of

ALL = "**/*"
_LARGEST_BYTES = 1_000_000  # larger ones are generated tables, not code
_SMALLEST_BYTES = 80  # less is an __init__.py with an import or two
_TEST_FOLDERS = frozenset(("test", "tests", "testdata", "test_data"))
_COMMENTS = {
    "#": ("py", "sh", "rb", "pl", "r", "jl", "yaml", "yml", "toml"),
    "//": ("c", "h", "cc", "cpp", "hpp", "js", "jsx", "ts", "tsx", "java", "go", "rs", "swift", "kt", "cs", "scala"),
    "--": ("sql", "lua", "hs"),
}


@dataclass(frozen=True, kw_only=True)
class Code(Haystack):
    """Every installed Python package, or the source files that ``path`` (a folder or glob) names.

    Whole files in the order of their names, each below a comment with its name, until
    ``max_characters`` (0 for all). Exact copies, test folders and files over 1 MB are left out.
    ``needle_form`` is comment or constant; ``comment`` its mark, taken from the suffix if empty.
    """

    name: str = "code"
    licence: str = free_text("each package's own; read from the installed packages, never shipped")
    path: str = free_text("")
    pattern: str = "**/*.py"
    max_characters: int = limited(100_000_000, at_least=0)
    needle_form: str = one_of("comment", "constant")
    comment: str = free_text("")

    by_line = True

    def identity(self) -> str:
        _, files, _ = self._files(lambda _: None)
        return f"{self!r} {stamp(files)}"

    def planted(self, needle: str) -> str:
        if self.needle_form == "constant":
            return f"REMARK = {json.dumps(needle, ensure_ascii=False)}"
        return "\n".join(f"{self._mark} {line}" for line in needle.splitlines())

    def documents(self, skip: Skip) -> Iterator[str]:
        folder, files, num_tests = self._files(skip)
        if num_tests:
            skip(f"{shown(folder)}: {num_tests:,} files in test folders left out; name such a folder to read it")
        seen: set[bytes] = set()
        num_characters = num_copies = 0
        for file in files:
            text = _source(file, skip)
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            if not text or digest in seen:
                num_copies += bool(text)
                continue
            document = f"{self._mark} file: {shown(file.relative_to(folder).as_posix())}\n{text}"
            num_characters += len(document)
            if self.max_characters and num_characters > self.max_characters and seen:
                break
            seen.add(digest)
            yield document
        if num_copies:
            skip(f"{shown(folder)}: {num_copies:,} exact copies of other files left out; nothing to do")
        if not seen:
            raise NiahError(
                f"haystack.path: no source code; got {shown(folder)}; expected UTF-8 files; set haystack.pattern"
            )

    @property
    def _mark(self) -> str:
        suffixes = [PurePath(name).suffix.lstrip(".") for name in (self.path, self.pattern)]
        marks = (mark for suffix in suffixes for mark, known in _COMMENTS.items() if suffix in known)
        return self.comment or next(marks, "#")

    def _files(self, skip: Skip) -> tuple[Path, list[Path], int]:
        """The folder that names are relative to, the files to read, and how many were left out as tests."""
        folder = Path(self.path or sysconfig.get_path("purelib")).expanduser()
        found = matching(str(folder), self.pattern, skip)
        if not os.path.isdir(folder):
            folder = Path(os.path.commonpath([file.parent for file in found]))
        kept = [file for file in found if not _TEST_FOLDERS.intersection(file.relative_to(folder).parts[:-1])]
        return folder, kept, len(found) - len(kept)


def _source(file: Path, skip: Skip) -> str:
    """The text of a file of code, "" if it is left out; ``skip`` tells why, unless it is next to empty."""
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            skip(f"{shown(file)}: larger than 1 MB, so likely generated; split it to read it")
            return ""
        raw = file.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        skip(f"{shown(file)}: cannot be read ({error.strerror or error}); check its permissions")
    except UnicodeDecodeError as error:
        skip(f"{shown(file)}: is not UTF-8 (byte {error.start}); convert it: iconv -f LATIN1 -t UTF-8")
    else:
        if "\0" not in text:
            return text.replace("\r\n", "\n") if len(raw) >= _SMALLEST_BYTES else ""
        skip(f"{shown(file)}: is a binary file (it holds NUL bytes); leave it out")
    return ""


def stamp(files: Iterable[Path]) -> str:
    """A hash of names, sizes, times and modes: another one whenever the files may hold other text."""
    told = hashlib.sha256()
    for file in files:
        try:
            status = file.stat()
            seen = f"{status.st_size} {status.st_mtime_ns} {status.st_mode}"
        except OSError as error:
            seen = f"error {error.errno}"
        told.update(f"{file}\0{seen}\n".encode(errors="surrogateescape"))
    return told.hexdigest()


def matching(path: str, pattern: str, skip: Skip, suffixes: frozenset[str] = frozenset()) -> list[Path]:
    """What a file, folder or glob names, sorted; ``suffixes`` limit a folder's files under the default pattern."""
    place = Path(path).expanduser()
    if os.path.isdir(place):
        suffixes = suffixes if pattern == ALL else frozenset()
        found = [f for f in _below(place, pattern, skip) if not suffixes or f.suffix.lower() in suffixes]
        wanted = f"files matching {pattern}{' with a known text suffix' if suffixes else ''} in it (haystack.pattern)"
    elif os.path.exists(place):
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
        told = f"{shown(error.filename)}: cannot be listed ({error.strerror}); check its permissions"
        if Path(error.filename) == folder:
            raise NiahError(f"haystack.path: {told}") from error
        skip(told)

    for place, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        status, inside = os.stat(place), Path(place).relative_to(folder).parts
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
