"""The heatmap: every depth and length, accuracy or what ``report.cell`` asks for; variants and runs side by side."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from niah.records import Row, RunRecord
from niah.report import cell_grid, style
from niah.report.cell_grid import Margins, Square
from niah.report.length_note import length_note
from niah.report.panel import Panel
from niah.report.settings import ReportSettings
from niah.stats.cells import CellStats, by_cell, mean_logprob
from niah.units import format_count

_LABELS = {
    "accuracy": "accuracy", "interval": "accuracy", "n": "answered trials",
    "logprob": "log-probability of the answer (nats)",
}

_TITLE_WIDTH = 60
"""Characters above a grid of the smallest width."""


def draw(shown: Sequence[Panel], folder: Path, settings: ReportSettings) -> list[Path]:
    """Writes heatmap.<format> for each format of the settings."""
    with style.figure_style(settings.font, has_axes=False):
        return style.save(figure(shown, settings), folder, "heatmap", settings)


def figure(shown: Sequence[Panel], settings: ReportSettings) -> style.Picture:
    """One panel or many, all with the same lengths, depths and colours."""
    records = [panel.record for panel in shown]
    lengths = sorted({length for record in records for length in record.lengths})
    depths = sorted({depth for record in records for depth in record.depths})
    panels = [_squares(panel.rows, settings.cell) for panel in shown]
    values = [square.value for panel in panels for square in panel.values() if square.value is not None]
    margins = Margins(2.0, 1.2 if len(shown) > 1 else 0.9, 1.2)
    has_engine = len({_engine(record) for record in records}) > 1
    with style.figure_style(settings.font, has_axes=False):
        grids = cell_grid.draw(
            panels, lengths, depths, _scale(settings.cell, values), margins,
            has_depth=[record.scope.has_depth for record in records],
            titles=[_panel_title(panel, has_engine) for panel in shown] if len(shown) > 1 else (), page=settings.width,
        )
        grids.bottom.set_xlabel("length (tokens, prompt and answer)")
        grids.bar.set_label(_LABELS[settings.cell])
        if len(shown) > 1:
            style.title(grids.figure, _common_title(records))
        else:
            details = "\n".join(_details(shown[0], settings.cell))
            grids.first.set_title(details, loc="left", fontsize=7, color=style.INK, pad=6, linespacing=1.4)
            style.title(grids.figure, records[0].model_title, size=11)
        if grids.has_hatching:
            cell_grid.legend(grids.figure, "no answer: not run, or the engine failed")
        style.made_up(grids.figure, [record.engine_name for record in records])
        return grids.figure


def _squares(rows: Sequence[Row], kind: str) -> dict[tuple[int, float], Square]:
    logprobs = mean_logprob(rows) if kind == "logprob" else {}
    return {place: _square(cell, kind, logprobs.get(place)) for place, cell in by_cell(rows).items()}


def _square(cell: CellStats, kind: str, logprob: float | None) -> Square:
    """What ``report.cell`` asks for (``kind``); ``logprob`` is the cell's mean in nats, None where it was not
    measured."""
    failed = f"{cell.errors} failed" if cell.errors else ""
    counts = f"n={cell.n}, {failed}" if failed else f"n={cell.n}"
    if not cell.n:
        return Square(None, ", ".join(name.replace("-", " ") for name in sorted(cell.outcomes)))
    if kind == "logprob":
        return Square(None, "not measured") if logprob is None else Square(logprob, f"{logprob:.2f}", counts)
    if kind == "n":
        return Square(cell.n, f"{cell.n}", failed)
    return Square(cell.mean, f"{cell.mean:.2f}", f"{cell.low:.2f} to {cell.high:.2f}" if kind == "interval" else counts)


def _scale(kind: str, values: Sequence[float]) -> ScalarMappable:
    """Accuracy is always 0 to 1; log-probability ends at 0, counts begin there."""
    ends = {"logprob": (min(values, default=-1.0), 0.0), "n": (0.0, max(values, default=1.0))}
    low, high = ends.get(kind, (0.0, 1.0))
    colours = {"logprob": "cividis", "n": "Blues"}.get(kind, style.COLOURS)
    return ScalarMappable(Normalize(low, high if high > low else low + 1), colours)


def _common_title(records: Sequence[RunRecord]) -> str:
    """What all panels have in common, and each of what they have not."""
    models = dict.fromkeys(record.model_title for record in records)
    tasks = dict.fromkeys(_task(record).removeprefix("task ") for record in records)
    texts = dict.fromkeys(_haystack(record) for record in records if record.sources.haystack_sha256 is not None)
    own = dict.fromkeys(_haystack(record) for record in records if record.sources.haystack_sha256 is None)
    if texts and own:
        own = {"none where the task writes the text": None}
    return (
        f"{', '.join(models)}\n{'task' if len(tasks) == 1 else 'tasks'} {', '.join(tasks)}, "
        f"haystack {', '.join([*texts, *own])}"
    )


def _details(panel: Panel, kind: str) -> list[str]:
    """Lines above the only grid: what its cells are, of which task, by which engine."""
    record = panel.record
    axes = f"{'depth and ' if record.scope.has_depth else ''}length"
    right = ", right is to say that nothing is there" if record.scorer == "claims_absence" else ""
    spec = panel.rows[0].spec if panel.rows else ""
    cache = f"KV cache {record.kv_dtype}{_assumed(record)}" + (f", drafts {spec}" if spec else "")
    note = length_note(panel.rows)
    return [
        f"{_LABELS[kind]} by {axes}{right}, {panel.num_answers} of {record.scope.num_trials} trials",
        f"{_task(record)}, haystack {_haystack(record)}, reader {record.reader}, {cache}",
        _engine(record),
        *([note] if note else []),
    ]


def _panel_title(panel: Panel, has_engine: bool) -> str:
    """Of one grid among several; with its engine where they differ."""
    parts = [format_count(panel.num_answers, "answer"), length_note(panel.rows).partition(":")[0]]
    title = f"{panel.label}  ({', '.join(filter(None, parts))})"
    if not has_engine or not panel.rows:
        return title
    engine, caches = panel.record.engine, ", ".join(dict.fromkeys(row.kv_cache_dtype for row in panel.rows))
    name = f"{engine.server}, a server sent {engine.prompts}" if engine.server else _engine(panel.record)
    return "\n".join([title, *textwrap.wrap(f"{name}, KV {caches}{_assumed(panel.record)}", _TITLE_WIDTH)])


def _engine(record: RunRecord) -> str:
    """A server's hardware is not known here."""
    engine = record.engine
    if engine.server:
        return f"{Path(engine.server_model or '').name} on {engine.server} (a server, sent {engine.prompts})"
    return f"{engine.vllm or record.engine_name} on {record.environment.hardware}"


def _assumed(record: RunRecord) -> str:
    """Behind the type of the KV cache, where nobody could be asked for it."""
    return " (as given, not told)" if record.engine.is_kv_cache_dtype_assumed else ""


def _task(record: RunRecord) -> str:
    kind = ", ".join(filter(None, (record.answer_kind, f"share={record.share}" if record.share else "")))
    return f"task {record.task}" + (f" ({kind})" if kind else "")


def _haystack(record: RunRecord) -> str:
    if record.sources.haystack_sha256 is None:
        return f"{record.haystack}: the task writes the text"
    return record.haystack + (f" ({', '.join(record.haystack_details)})" if record.haystack_details else "")
