"""Pairs whose scores differ: which, and the command that shows what the model saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from niah.commands.compare.pairs import Pair, Side
from niah.runs.columns import Columns

_SHOWN = 5
"""Discordant trials printed; all are in discordant.jsonl."""


def discordant(pair: Pair) -> list[dict[str, Any]]:
    """Pairs whose scores differ, losses first, longest first; each with the command that shows what the model saw."""
    a, b = pair.a, pair.b
    shift = b.score - a.score
    places = [int(k) for k in np.flatnonzero(np.abs(shift) > 1e-9)]
    places.sort(key=lambda k: (shift[k] > 0, -a.length[k], a.depth[k], a.repeat[k]))
    return [
        {
            "change": "lost" if shift[k] < 0 else "gained", "length": int(a.length[k]), "depth": float(a.depth[k]),
            "repeat": int(a.repeat[k]), "base": _trial(pair.base, a, k), "other": _trial(pair.other, b, k),
        }
        for k in places
    ]


def _trial(side: Side, rows: Columns, k: int) -> dict[str, Any]:
    return {
        "run": side.label, "trial": int(rows.trial[k]), "score": float(rows.score[k]), "answer": rows.answer[k],
        "show": f"python -m niah show {side.folder} --trial {rows.trial[k]}",
    }


def listed(discordant: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    if not discordant:
        return ["no discordant trials"]
    lines = [f"discordant trials: {len(discordant)}, all in {folder / 'discordant.jsonl'}; the first:"]
    for trial in discordant[:_SHOWN]:
        base, other = trial["base"], trial["other"]
        lines.append(
            f"  {trial['change']}: {_short(base['answer'])} -> {_short(other['answer'])} at {trial['length']:,}, "
            f"{trial['depth']:g}%, repeat {trial['repeat']}: {other['show']}"
        )
    return lines


def _short(answer: str) -> str:
    text = " ".join(answer.split())
    return repr(text[:40] + ("…" if len(text) > 40 else ""))
