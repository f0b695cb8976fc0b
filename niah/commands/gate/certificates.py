"""What ``frontier`` and ``decide`` proved of a run, for bounds that ask the same: their error holds however the trials
were chosen, that of intervals over chosen trials does not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah import disk
from niah.commands.gate.candidates import Candidate
from niah.runs.scoring import rescored_sha256
from niah.stats.decision import NOT_WORSE
from niah.units import format_length

FRONTIER, DECIDE = "frontier.json", "decide.json"
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Proven:
    """``low`` and ``high`` in tokens, 0 below the ladder; ``failing`` is the first length proven to fail, None where
    none is."""

    low: int
    high: int
    failing: int | None
    sentence: str


def frontier(one: Candidate, threshold: float, confidence: float) -> Proven | None:
    """The certificate of this variant's effective length at the threshold, of this confidence or a higher one; None
    without such."""
    content = _content(one, FRONTIER)
    try:
        found = content["variants"][one.side.variant]
        is_asked = not found["base"] and math.isclose(found["threshold"], threshold)
        if not is_asked or found["confidence"] < confidence - _ROUNDING:
            return None
        high = int(found["high"] or 0)
        failing = None if found["high_is_open"] else min(length for length in found["lengths"] if length > high)
        return Proven(int(found["low"] or 0), high, failing, str(found["sentence"]))
    except (KeyError, TypeError, ValueError):
        return None


def decided(one: Candidate, baseline: str, margin: float, confidence: float) -> str:
    """What ``decide`` says where it has proven that this variant is not worse than another one of the run by the
    margin, or a smaller one; else empty. ``confidence`` is that of a two-sided interval, of which a loss concerns one
    side: 0.95 wants ``decide.confidence=0.975``."""
    most = (1 - confidence) / 2 + _ROUNDING
    content = _content(one, DECIDE)
    try:
        smaller = float(content["settings"]["margin"])
        for pair in content["pairs"]:
            is_it = (pair["baseline"], pair["other"], pair["verdict"]) == (baseline, one.side.variant, NOT_WORSE)
            if is_it and smaller <= margin and pair["alpha"] <= most:
                return f"decide: not worse by {100 * smaller:g} points, with {1 - pair['alpha']:.1%} confidence"
    except (KeyError, TypeError, ValueError):
        return ""
    return ""


def is_chosen(one: Candidate) -> bool:
    """Whether the run's trials were chosen as answers came, so that none of them is left to ask."""
    return any((Path(one.side.folder) / name).is_file() for name in (FRONTIER, DECIDE))


def reached(found: Proven, wanted: int) -> bool | None:
    """Whether the effective length is the wanted one or longer; None where that is not proven."""
    if found.low >= wanted:
        return True
    return False if found.failing is not None and found.failing <= wanted else None


def further(wanted: int) -> str:
    """Why it is open, and what to do."""
    return (
        f"frontier has proven neither for {format_length(wanted)}; the same command goes on with a larger "
        "frontier.most or frontier.budget"
    )


def of_other_scores(found: Sequence[Candidate]) -> list[str]:
    """A line for each file whose certificates do not count, as ``rescore`` has changed the scores since."""
    folders = {one.side.folder: one for one in found}
    return [
        f"{folder}/{name}: does not count: it was proven of other scores than those that rescore left in rows.jsonl; "
        f"the same {name.removesuffix('.json')} command proves it anew"
        for folder, one in folders.items() for name in (FRONTIER, DECIDE)
        if (content := _read(one, name)) and not _is_of_these_scores(one, content)
    ]


def _content(one: Candidate, name: str) -> Mapping[str, Any]:
    """Nothing where there is none, where it cannot be read, or is of other scores: the bound is then held against the
    rows."""
    content = _read(one, name)
    return content if content and _is_of_these_scores(one, content) else {}


def _read(one: Candidate, name: str) -> Mapping[str, Any]:
    file = Path(one.side.folder) / name
    try:
        found = disk.parsed(file.read_bytes()) if file.is_file() else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_of_these_scores(one: Candidate, content: Mapping[str, Any]) -> bool:
    return bool(content.get("rescored_sha256", "") == rescored_sha256(one.side.opened.rows()))
