"""The user's own text files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from niah.errors import NiahError


@dataclass(frozen=True)
class Files:
    """Every UTF-8 text file that ``path`` names: one file, a folder (all files below it) or a glob.

    ``pattern`` filters the files of a folder. Files are read in the order of their names.
    """

    name: str = "files"
    licence: str = "the user's own text"
    path: str = ""
    pattern: str = "**/*.txt"

    def documents(self) -> Iterator[str]:
        for file in self._files():
            raw = file.read_bytes()
            if b"\0" in raw[:65_536]:
                raise NiahError(f"haystack.path: {file} is a binary file; expected UTF-8 text; leave it out")
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise NiahError(
                    f"haystack.path: {file} is not UTF-8 (byte {error.start}); expected UTF-8 text; "
                    f"convert it: iconv -f LATIN1 -t UTF-8 {file.name}"
                ) from error
            if not text.strip():
                raise NiahError(f"haystack.path: {file} is empty; expected text; leave it out")
            yield text

    def _files(self) -> list[Path]:
        if not self.path:
            raise NiahError("haystack.path: not given; expected a file, folder or glob of text; haystack.path=my.txt")
        place = Path(self.path).expanduser()
        if place.is_dir():
            found = sorted(file for file in place.glob(self.pattern) if file.is_file())
            wanted = f"files matching {self.pattern} in {place} (set haystack.pattern)"
        elif place.is_file():
            return [place]
        else:
            anchor = Path(place.anchor or ".")
            found = sorted(f for f in anchor.glob(str(place.relative_to(place.anchor))) if f.is_file())
            wanted = "an existing file, folder or glob"
        if not found:
            raise NiahError(f"haystack.path: nothing to read; got {self.path!r}; expected {wanted}")
        return found
