"""Which trials of a finished run are put to the second engine."""

import hashlib
from collections.abc import Sequence

from niah.records import Row


def sample(rows: Sequence[Row], num_trials: int) -> list[tuple[str, list[Row]]]:
    """For each trial that is asked why (discordant, wrong or right) and its answered rows, one a variant.

    All discordant trials come first (variants of the run scored differently), then wrong and right ones in turn, up to
    ``num_trials`` (0: all). Which of a kind come first depends on their prompts alone, so a longer sample holds the
    shorter.
    """
    trials: dict[int, list[Row]] = {}
    for row in rows:
        if row.score is not None:
            trials.setdefault(row.trial, []).append(row)
    kinds: dict[str, list[list[Row]]] = {"discordant": [], "wrong": [], "right": []}
    for group in sorted(trials.values(), key=lambda group: hashlib.sha256(group[0].prompt_sha256.encode()).digest()):
        kinds[_kind([row.score or 0.0 for row in group])].append(group)
    chosen = [("discordant", group) for group in kinds["discordant"]]
    for place in range(max(len(kinds["wrong"]), len(kinds["right"]))):
        chosen += [(kind, kinds[kind][place]) for kind in ("wrong", "right") if place < len(kinds[kind])]
    return chosen[:num_trials] if num_trials else chosen


def _kind(scores: Sequence[float]) -> str:
    """Of one trial, from its scores under all variants."""
    if len(set(scores)) > 1:
        return "discordant"
    return "wrong" if scores[0] < 1 else "right"
