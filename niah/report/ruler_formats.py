"""RULER's table as text for a terminal, as JSON, as CSV, as LaTeX."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from niah.report.accuracy import with_interval
from niah.report.ruler_table import SAMPLES, Line, Score, Table
from niah.report.text_table import aligned
from niah.stats.cells import CONFIDENCE
from niah.stats.comparison import MIN_REPEATS
from niah.units import format_length

_FIELDS = ("table", "line", "length", "score", "low", "high", "samples", "repeats", "half_width", "half_width_500")
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}


def text(one: Table) -> list[str]:
    """Lines for a terminal: a line a setting, then the means with their intervals, then what limits them."""
    lengths = [format_length(length) for length in one.lengths]
    head = ["setting", *lengths, "samples", "±", f"± of {SAMPLES}"]
    rows = [head, *([line.name, *map(_points, line.scores), *_samples(line)] for line in one.settings)]
    if one.counted:
        rows.append([one.mean.name, *map(_points, one.mean.scores), *_samples(one.mean)])
        rows.append([f"  {CONFIDENCE:.0%} interval", *map(_interval, one.mean.scores), "", "", ""])
    width = 13 if one.counted else 7
    lines = [f"RULER, {one.title}", *aligned(rows, [-18, *[width] * len(lengths), 9, 6, 8])]
    lines = [line.rstrip() for line in lines]
    return [*lines, *_over_lengths(one), *(f"note: {note}" for note in foot(one))]


def _over_lengths(one: Table) -> list[str]:
    """RULER's weighted means, and the effective lengths."""
    weighted = [f"{line.name}: {_points(line.scores[0])} {_interval(line.scores[0])}" for line in one.weighted]
    name = f"effective length of the {one.mean.name}"
    return [*weighted, *(f"{name} ({found.name}): {with_interval(found)}" for found in one.effective)]


def foot(one: Table) -> list[str]:
    """What every format says below the scores."""
    lines = []
    if one.counted:
        widest = max((score for score in one.mean.scores if score), key=lambda score: score.half_width)
        lines.append(
            f"interval of the mean: at most ±{widest.half_width:.1f} points with these samples; {SAMPLES} of each "
            f"setting and length, as RULER has, would give ±{widest.half_width_500:.1f}"
        )
        if widest.num_repeats < MIN_REPEATS:
            repeats = "1 repeat" if widest.num_repeats == 1 else f"{widest.num_repeats} repeats"
            lines.append(
                f"{repeats}: how alike the trials of a repeat are is largely assumed, so intervals are wide; "
                f"ctx.repeats={MIN_REPEATS} or more shows it"
            )
    return [*lines, *one.notes]


def as_json(tables: Sequence[Table]) -> dict[str, Any]:
    """All tables as plain data: points from 0 to 100, lengths in tokens."""
    return {"schema": 1, "confidence": CONFIDENCE, "tables": [{**asdict(one), "foot": foot(one)} for one in tables]}


def as_csv(tables: Sequence[Table]) -> str:
    """One line a table, line and length; weighted means and effective lengths have none or are one."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_FIELDS)
    for one in tables:
        for line in one.lines:
            for length, score in zip(one.lengths, line.scores, strict=True):
                if score:
                    writer.writerow([one.title, line.name, length, *_numbers(score)])
        for line in one.weighted:
            if line.scores[0]:
                writer.writerow([one.title, line.name, "", *_numbers(line.scores[0])])
        for found in one.effective:
            writer.writerow([one.title, f"effective length ({found.name})", found.length, "", found.low, found.high])
    return out.getvalue()


def latex(tables: Sequence[Table]) -> str:
    r"""Each table as a tabular (\usepackage{booktabs}), its foot below the last rule."""
    return "\n\n".join(map(_tabular, tables)) + "\n"


def _tabular(one: Table) -> str:
    lengths = " & ".join(format_length(length) for length in one.lengths)
    num = len(one.lengths) + 2
    lines = [
        r"% \usepackage{booktabs}", r"\begin{tabular}{l" + "r" * (num - 1) + "}", r"\toprule",
        rf"\multicolumn{{{num}}}{{l}}{{RULER, {escaped(one.title)}}} \\", r"\midrule",
        rf"setting & {lengths} & samples \\", r"\midrule",
    ]
    for line in one.settings:
        cells = " & ".join(map(_points, line.scores))
        lines.append(rf"\texttt{{{escaped(line.name)}}} & {cells} & {_samples(line)[0]} \\")
    if one.counted:
        lines.append(r"\midrule")
        lines.append(rf"{one.mean.name} & {' & '.join(map(_points, one.mean.scores))} & {_samples(one.mean)[0]} \\")
        ends = " & ".join(rf"\footnotesize {_interval(score)}" if score else "" for score in one.mean.scores)
        lines.append(rf"\footnotesize {CONFIDENCE * 100:.0f}\% interval & {ends} & \\")
    lines.append(r"\bottomrule")
    for words in (*_over_lengths(one), *foot(one)):
        lines.append(rf"\multicolumn{{{num}}}{{p{{0.95\linewidth}}}}{{\footnotesize {escaped(words)}}} \\")
    return "\n".join([*lines, r"\end{tabular}"])


def escaped(words: str) -> str:
    """Plain text for LaTeX."""
    return "".join(_SPECIAL.get(one, one) for one in words).replace("±", r"$\pm$")


def _numbers(score: Score) -> list[str]:
    points = [f"{value:.3f}" for value in (score.mean, score.low, score.high)]
    widths = [f"{value:.3f}" for value in (score.half_width, score.half_width_500)]
    return [*points, str(score.num_samples), str(score.num_repeats), *widths]


def _points(score: Score | None) -> str:
    return f"{score.mean:.1f}" if score else "-"


def _interval(score: Score | None) -> str:
    return f"[{score.low:.1f}, {score.high:.1f}]" if score else "-"


def _samples(line: Line) -> list[str]:
    """Samples at a length, and the widest half-width with them and with RULER's number."""
    scores = [score for score in line.scores if score]
    if not scores:
        return ["0", "-", "-"]
    numbers = sorted({score.num_samples for score in scores})
    widest = max(scores, key=lambda score: score.half_width)
    most = max(score.half_width_500 for score in scores)
    named = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
    return [named, f"{widest.half_width:.1f}", f"{most:.1f}"]
