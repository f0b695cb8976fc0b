"""niah: a long-context retrieval stress tester. ``run``, ``sweep``, ``load`` and ``compare`` are for Python programs
and notebooks (docs/python.md)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from niah.api import ComparedRuns, MeasuredRun, NiahError, UnansweredError, compare, load, run, sweep

__version__ = "0.1.0"
__all__ = ["ComparedRuns", "MeasuredRun", "NiahError", "UnansweredError", "compare", "load", "run", "sweep"]


def __getattr__(name: str) -> Any:
    """Imports them on first use: the command and its help need none."""
    if name not in __all__:
        raise AttributeError(f"module 'niah' has no attribute {name!r}")
    from niah import api

    globals().update({one: vars(api)[one] for one in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
