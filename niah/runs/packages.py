"""All that a run needs and that is not installed, in one line with one command, before anything is read."""

import re
from collections.abc import Sequence

from niah.config import Run
from niah.errors import NiahError
from niah.models import packages

_EXTRA = re.compile(r"niah\[([\w,]+)\]")


def check(run: Run, *, has_engine: bool = True) -> None:
    """Raises NiahError where more than one thing is missing: one alone is told by what needs it, with what would do in
    its place. ``has_engine`` is False where contexts alone are made."""
    engine = [*run.engine.missing()] if has_engine else []
    model = packages.missing(run.model, has_weights=has_engine and run.engine.holds_a_model)
    text = () if run.task.writes_context else run.haystack.missing()
    by_part = {
        f"engine={run.engine.name}": engine,
        f"model={run.model.name}": [word for word in model if not (engine and word == packages.READING)],
        f"haystack={run.haystack.name}": text, f"task={run.task.name}": run.task.missing(),
        f"reader={run.reader.name}": run.reader.missing(),
    }
    words = list(dict.fromkeys(word for part in by_part.values() for word in part))
    if len(words) < 2:
        return
    names = [name for name, part in by_part.items() if part]
    whole = [word for word in words if word in engine or _EXTRA.fullmatch(word)]
    commands = [
        *([f"pip install {' '.join(_joined(whole))}"] if whole else []),
        *([f"pip install --no-deps {' '.join(data)}"] if (data := [one for one in words if one not in whole]) else []),
    ]
    raise NiahError(
        f"packages: not installed are those of {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}; "
        f"expected all of them; {' && '.join(commands)}"
    )


def _joined(words: Sequence[str]) -> list[str]:
    """The words with all extras of niah in one, in quotes: a shell reads brackets."""
    extras = [match[1] for word in words if (match := _EXTRA.fullmatch(word))]
    others = [word for word in words if not _EXTRA.fullmatch(word)]
    return [*([f"'niah[{','.join(extras)}]'"] if extras else []), *others]
