"""What compare.json holds of a comparison: everything printed, as data."""

import dataclasses
from typing import Any

from niah.commands.compare import drafts, thoughts
from niah.commands.compare.pairs import Pair
from niah.commands.results import without_nan
from niah.stats.comparison import Comparison
from niah.stats.power import GOALS, Resolution


def of_comparison(
    pair: Pair, one: Comparison, verdict: str, could: Resolution | None, graded: str | None, nats: float | None
) -> dict[str, Any]:
    """``verdict`` is about accuracy, ``graded`` about the log-probability; ``nats`` is the fall that was findable."""
    return {
        "base": pair.base.label, "other": pair.other.label, "folders": [pair.base.folder, pair.other.folder],
        "verdict": verdict, "notes": list(pair.notes), **without_nan(dataclasses.asdict(one)),
        "could_find": of_resolution(could), "graded_verdict": graded, "could_find_nats": nats,
        **drafts.content(pair),
        **thoughts.content(pair),
    }


def of_resolution(could: Resolution | None) -> dict[str, Any] | None:
    """The smallest loss found with 80%, and the repeats that find each of two losses (points as names)."""
    if could is None:
        return None
    repeats = {f"{100 * goal:g}": needed for goal, needed in zip(GOALS, could.repeats, strict=True)}
    return {"loss": could.loss, "repeats_by_points": repeats, "more_than": could.most}
