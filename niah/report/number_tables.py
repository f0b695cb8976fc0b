"""The numbers of report.json as flat tables: CSV for scripts, LaTeX for papers."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from niah.report.page.plan import FIGURES
from niah.report.ruler_formats import escaped
from niah.report.text_table import Rows
from niah.units import format_length

TABLES = ("lengths", "cells", "differences", "effective_lengths", "plan", "ruler")
_RUN = ("label", "model", "task", "haystack", "reader", "kv_cache_dtype", "engine")
_CELL = ("accuracy", "low", "high", "n", "errors")
_DRAFTS = ("drafts", "draft_tokens", "accepted_tokens", "mean_acceptance_length")
"""Of lengths, where a run drafted tokens."""
_DIFFERENCE = ("pairs", "repeats", "base", "other", "difference", "low", "high", "lost", "gained", "p", "holm_p")
_EFFECTIVE = ("name", "threshold", "length", "low", "high", "is_open", "high_is_open", "undefined")
_SCORE = ("mean", "low", "high", "samples")
_TEXTS = ("against", "run", "title", "line", "name", "undefined", "which", "folder", "variants", "changed", "trouble")


def of(content: Mapping[str, Any], name: str) -> Rows:
    """One of ``TABLES`` of report.json's content: a line a run and length (all lengths together are "all"), a line a
    cell, a line a comparison and length, a line a run and definition, two lines a run, or a line of RULER's table and
    length."""
    runs = content["runs"]
    if name == "ruler":
        return [["title", "line", "length", *_SCORE], *(
            [table["title"], line["name"], length, *((score or {}).get(key) for key in _SCORE)]
            for table in content["ruler"]
            for line in (*table["lines"], *([table["mean"]] if table["mean"] else []))
            for length, score in zip(table["lengths"], line["scores"], strict=True)
        )]
    if name == "effective_lengths":
        return [[*_RUN, *_EFFECTIVE], *(
            [*(run[key] for key in _RUN), *(one[key] for key in _EFFECTIVE)]
            for run in runs for one in run["effective_lengths"]
        )]
    if name == "plan":
        return [[*_RUN, "which", *FIGURES], *(
            [*(run[key] for key in _RUN), which, *(run["plan"][which][key] for key in FIGURES)]
            for run in runs for which in ("planned", "measured")
        )]
    if name == "differences":
        head = ["against", "run", "length", *_DIFFERENCE]
        return [head, *(
            [runs[one["base"]]["label"], runs[one["other"]]["label"], length, *(part[key] for key in _DIFFERENCE)]
            for one in content["comparisons"]
            for length, part in [*((part["lengths"][0], part) for part in one["lengths"]), ("all", one["overall"])]
        )]
    own: tuple[str, ...]
    own, names = (_CELL, ("length",)) if name == "lengths" else ((*_CELL, "logprob", "seconds"), ("length", "depth"))
    if name == "lengths" and any("drafts" in run["overall"] for run in runs):
        own = (*own, *_DRAFTS)
    rows: Rows = [[*_RUN, *names, *own]]
    for run in runs:
        parts = run[name] + ([{**run["overall"], "length": "all"}] if name == "lengths" else [])
        rows += [[*(run[key] for key in _RUN), *(part.get(key) for key in (*names, *own))] for part in parts]
    return rows


def as_csv(rows: Rows) -> str:
    """RFC 4180 with line feeds; numbers as they are, nothing where there is none."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def as_latex(rows: Rows) -> str:
    r"""A tabular (\usepackage{booktabs}) of what differs between rows, and of all that is measured; what is the same in
    all rows stands in a comment above it."""
    fixed = [
        place for place, name in enumerate(rows[0]) if name in _RUN and len({str(row[place]) for row in rows[1:]}) < 2
    ]
    same = [f"{rows[0][place]} {rows[1][place]}" for place in fixed] if len(rows) > 1 else []
    kept = [place for place in range(len(rows[0])) if place not in fixed]
    texts = [place for place in kept if rows[0][place] in (*_RUN, *_TEXTS)]
    lines = [
        r"% \usepackage{booktabs}", *([f"% {', '.join(same)}".replace("\n", " ")] if same else []),
        rf"\begin{{tabular}}{{{''.join('l' if place in texts else 'r' for place in kept)}}}", r"\toprule",
        " & ".join(escaped(str(rows[0][place])) for place in kept) + r" \\", r"\midrule",
    ]
    for row in rows[1:]:
        lines.append(" & ".join(_shown(rows[0][place], row[place]) for place in kept) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "--"
    if isinstance(value, float):
        return f"{value:g}" if name == "depth" else f"{value:.3f}"
    return escaped(format_length(value) if name == "length" and isinstance(value, int) else str(value))
