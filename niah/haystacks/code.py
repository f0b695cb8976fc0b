"""Source code as a haystack: every installed Python package, or the files that a path names."""

import hashlib
import json
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from niah.errors import NiahError
from niah.haystacks import Haystack, Skip, encodings
from niah.haystacks.paths import matching, shown, stamp
from niah.limits import free_text, limited, one_of

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
        folder = Path(os.path.expanduser(self.path or sysconfig.get_path("purelib")))
        found = matching(str(folder), self.pattern, skip)
        if not os.path.isdir(folder):
            folder = Path(os.path.commonpath([file.parent for file in found]))
        kept = [file for file in found if not _TEST_FOLDERS.intersection(file.relative_to(folder).parts[:-1])]
        return folder, kept, len(found) - len(kept)


def _source(file: Path, skip: Skip) -> str:
    """The text of a file of code, "" if it is left out; ``skip`` is given the reason, unless it is next to empty."""
    try:
        if (size := file.stat().st_size) > _LARGEST_BYTES:
            skip(f"{shown(file)}: larger than 1 MB, so likely generated; split it to read it")
            return ""
        with file.open("rb") as content:
            raw = content.read(size)
        text = encodings.decoded(raw, "utf-8", file)
    except OSError as error:
        skip(f"{shown(file)}: cannot be read ({error.strerror or error}); check its permissions")
    except encodings.UndecodableError as error:
        skip(f"{shown(file)}: {str(error).replace('set haystack.encoding', 'leave it out')}")
    else:
        return text.replace("\r\n", "\n") if len(raw) >= _SMALLEST_BYTES else ""
    return ""
