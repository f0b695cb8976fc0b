"""niah: a long-context retrieval stress tester. ``run``, ``sweep``, ``load`` and ``compare`` are for Python programs
and notebooks (docs/python.md); ``niah.api`` has them with their types."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["ComparedRuns", "MeasuredRun", "NiahError", "UnansweredError", "compare", "load", "run", "sweep"]


def __getattr__(name: str) -> Any:
    """Imports them on first use: the command and its help need none.

    Nothing tells a type checker which they are: it would have to look at all of niah whenever one file changes.
    """
    if name not in __all__:
        raise AttributeError(f"module 'niah' has no attribute {name!r}")
    from importlib import import_module

    globals().update({one: vars(import_module("niah.api"))[one] for one in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
