"""A file of JSON objects, one a line, that survives kills: a line is on disk before the next is begun."""

import json
import os
from pathlib import Path
from typing import Any

from niah.errors import NiahError


class Lines:
    """Reads leave out a line torn by a crash; the first append cuts it."""

    def __init__(self, path: Path):
        self.path = path
        self._is_whole = False

    def read(self) -> list[dict[str, Any]]:
        """All whole lines. Raises NiahError for one that is none of ours."""
        found = []
        for number, line in enumerate(self._whole().split(b"\n")[:-1], 1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise NiahError(f"{self.path}:{number}: not JSON ({error}); expected what niah wrote; delete that line") from error
        return found

    def append(self, content: dict[str, Any]) -> None:
        """Raises NiahError when the disk takes no more."""
        data = (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            if not self._is_whole and self.path.is_file():
                os.truncate(self.path, len(self._whole()))
            self._is_whole = True
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NiahError(
                f"{self.path}: a line could not be written ({error.strerror}); the lines before it are safe; free some "
                "space, then the same command continues"
            ) from error

    def _whole(self) -> bytes:
        data = self.path.read_bytes() if self.path.is_file() else b""
        return data[: data.rfind(b"\n") + 1]
