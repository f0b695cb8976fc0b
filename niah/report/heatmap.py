"""The heatmap: every depth and length, accuracy or what ``report.cell`` asks for; variants and runs side by side."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt

from niah.records import Row, RunRecord
from niah.report import cell_grid, style
from niah.report.length_note import length_note
from niah.report.settings import ReportSettings
from niah.stats.cells import CellStats, by_cell, mean_logprob

_LABELS = {
    "accuracy": "accuracy", "interval": "accuracy", "n": "answered trials",
    "logprob": "log-probability of the answer (nats)",
}

_TITLE_WIDTH = 60
"""Characters above a grid of the smallest width."""


@dataclass(frozen=True)
class Panel:
    """One grid of a figure: a run, or a variant of it. ``label`` says which where there are several."""

    label: str
    record: RunRecord = field(repr=False)
    rows: Sequence[Row] = field(repr=False)

    @property
    def lengths(self) -> set[int]:
        return set(self.record.lengths)

    @property
    def has_depth(self) -> bool:
        return self.record.scope.has_depth

    @property
    def depths(self) -> set[float]:
        return set(self.record.depths)


def panels(record: RunRecord, rows: Sequence[Row], label: str = "") -> list[Panel]:
    """One panel a variant, in the order in which they first appear."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.variant, []).append(row)
    if len(parts) < 2:
        return [Panel(label, record, rows)]
    return [Panel(f"{label}/{name}" if label else name, record, part) for name, part in parts.items()]


def draw(shown: Sequence[Panel], folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes heatmap.<format> for each format of the settings: one panel or many, all with the same lengths, depths and
    colours."""
    lengths = sorted(set().union(*(panel.lengths for panel in shown)))
    has_depth = any(panel.has_depth for panel in shown)
    depths = sorted(set().union(*(panel.depths for panel in shown)))
    cells = [_shown(panel.rows, settings.cell) for panel in shown]
    scale = _scale(settings.cell, [cell.value for part in cells for cell in part.values() if cell.value is not None])
    columns = cell_grid.columns_of(len(shown), lengths)
    lines = math.ceil(len(shown) / columns)
    width, height = cell_grid.size(lengths, depths, has_depth)
    with plt.rc_context(style.STYLE):
        figure, grids = plt.subplots(
            lines, columns, figsize=(2.0 + columns * (width + 0.9), (1.2 if len(shown) > 1 else 0.9) + lines * (height + 1.2)),
            layout="constrained", squeeze=False,
        )
        hatched = False
        for place, axes in enumerate(grids.flat):
            if place >= len(shown):
                axes.set_visible(False)
                continue
            hatched |= cell_grid.draw(axes, cells[place], lengths, depths, scale, has_depth=has_depth)
            if len(shown) > 1:
                axes.set_title(_panel_title(shown[place], len({_engine(panel.record) for panel in shown}) > 1), loc="left", fontsize=8.5)
        bottom = grids[-1][0]
        bottom.set_xlabel("length (tokens, prompt and answer)")
        bottom.set_ylabel("depth of the needle (0% = start)" if has_depth else "")
        bar = figure.colorbar(scale, ax=grids, shrink=0.8 / lines**0.5, aspect=18, pad=0.02)
        bar.set_label(_LABELS[settings.cell])
        bar.outline.set_visible(False)
        _titles(figure, grids[0][0], shown, settings.cell)
        if hatched:
            cell_grid.legend(figure)
        return style.save(figure, folder, "heatmap", settings)


def _shown(rows: Sequence[Row], kind: str) -> dict[tuple[int, float], cell_grid.Square]:
    logprobs = mean_logprob(rows) if kind == "logprob" else {}
    return {key: _cell(cell, kind, logprobs.get(key)) for key, cell in by_cell(rows).items()}


def _cell(cell: CellStats, kind: str, logprob: float | None) -> cell_grid.Square:
    if cell.n == 0 or (kind == "logprob" and logprob is None):
        return cell_grid.Square(None, ", ".join(name.replace("-", " ") for name in sorted(cell.outcomes)) if not cell.n else "not measured")
    errors = f", {cell.errors} failed" if cell.errors else ""
    if kind == "n":
        return cell_grid.Square(cell.n, f"{cell.n}", f"{cell.errors} failed" if cell.errors else "")
    if kind == "logprob":
        return cell_grid.Square(logprob, f"{logprob:.2f}", f"n={cell.n}{errors}")
    detail = f"{cell.low:.2f} to {cell.high:.2f}" if kind == "interval" else f"n={cell.n}{errors}"
    return cell_grid.Square(cell.mean, f"{cell.mean:.2f}", detail)


def _scale(kind: str, values: Sequence[float]) -> matplotlib.cm.ScalarMappable:
    """Accuracy is always 0 to 1; log-probability ends at 0, counts begin there."""
    low, high = {"logprob": (min(values, default=-1.0), 0.0), "n": (0.0, max(values, default=1.0))}.get(kind, (0.0, 1.0))
    colours = {"logprob": "cividis", "n": "Blues"}.get(kind, style.COLOURS)
    return matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(low, high if high > low else low + 1), colours)


def _answered(panel: Panel) -> str:
    return f"{sum(1 for row in panel.rows if row.score is not None)} answers"


def _titles(figure, axes, shown: Sequence[Panel], kind: str) -> None:
    record = shown[0].record

    def common(read) -> str:
        return ", ".join(dict.fromkeys(read(panel.record) for panel in shown))

    model = common(lambda record: record.model_title)
    if len(shown) > 1:
        figure.suptitle(
            f"{model}\n{common(_task)}, haystack {common(_haystack)}",
            x=0.02, ha="left", fontsize=10, fontweight="bold",
        )
        return
    right = ", right is to say that nothing is there" if record.scorer == "claims_absence" else ""
    answered = sum(1 for row in shown[0].rows if row.score is not None)
    details = [
        f"{_LABELS[kind]} by {'depth and ' if shown[0].has_depth else ''}length{right}, {answered} of {record.scope.num_trials} trials",
        f"{_task(record)}, haystack {_haystack(record)}, reader {record.reader}, KV cache {record.kv_dtype}{_word(record)}",
        _engine(record),
        *filter(None, [length_note(shown[0].rows)]),
    ]
    axes.set_title("\n".join(details), loc="left", fontsize=7, color=style.INK, pad=6, linespacing=1.4)
    figure.suptitle(model, x=0.02, ha="left", fontsize=11, fontweight="bold")


def _panel_title(panel: Panel, with_engine: bool) -> str:
    inexact = length_note(panel.rows).partition(":")[0]
    title = f"{panel.label}  ({', '.join(filter(None, (_answered(panel), inexact)))})"
    if not with_engine or not panel.rows:
        return title
    engine, caches = panel.record.engine, ", ".join(dict.fromkeys(row.kv_cache_dtype for row in panel.rows))
    name = f"{engine.server}, a server sent {engine.prompts}" if engine.server else _engine(panel.record)
    return "\n".join([title, *textwrap.wrap(f"{name}, KV {caches}{_word(panel.record)}", _TITLE_WIDTH)])


def _engine(record: RunRecord) -> str:
    """A server's hardware is not known here."""
    engine = record.engine
    if engine.server:
        return f"{Path(engine.server_model or '').name} on {engine.server} (a server, sent {engine.prompts})"
    return f"{engine.vllm or record.engine_name} on {record.environment.hardware}"


def _word(record: RunRecord) -> str:
    """Who says which KV cache it was, where nobody could ask."""
    return " (as given, not told)" if record.engine.is_kv_cache_dtype_assumed else ""


def _task(record: RunRecord) -> str:
    return f"task {record.task}" + (f" ({record.answer_kind})" if record.answer_kind else "")


def _haystack(record: RunRecord) -> str:
    if record.sources.haystack_sha256 is None:
        return "none: the task writes the text"
    return record.haystack + (f" ({', '.join(record.haystack_details)})" if record.haystack_details else "")
