"""A stored run: its rows as a table, its accuracy with intervals, its pictures, and what the model saw in a trial."""

import base64
import html
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from numbers import Integral
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from niah import choices, config
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.runs import store

if TYPE_CHECKING:
    import pandas

    from niah.report.panel import Panel
    from niah.report.settings import ReportSettings
    from niah.report.style import Picture
    from niah.stats.cells import CellStats

_ROW_FIELDS = tuple(Row.__dataclass_fields__)
_KINDS = ("length", "cell", "run")


class Text(str):
    """Text that a notebook shows as it is, with its lines."""

    def __repr__(self) -> str:
        return str(self)


class MeasuredRun:
    """A run in ``folder``, finished or not: what is asked of it is read from the disk as it is then.

    ``config_dir`` has plug-ins of the user's own that ``show`` needs. Raises NiahError where there is no run.
    """

    def __init__(self, folder: str | Path, *, config_dir: str | Path | None = None):
        self.folder = Path(folder).expanduser()
        self._config_dir = config_dir
        if config_dir is not None and not Path(config_dir).is_dir():
            raise NiahError(f"config_dir: got {str(config_dir)!r}, no folder; expected one with plug-ins, or None")
        store.opened(str(self.folder), needs_settings=False)

    @property
    def record(self) -> RunRecord:
        """run.json as one typed record."""
        return store.opened(str(self.folder), needs_settings=False)[1]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run as plain data, a mapping a group: ``run.settings["model"]["path"]``."""
        return dict(self.record.config)

    @property
    def page(self) -> Path:
        """The page with all numbers, trials and pictures, for a browser; the command writes it."""
        from niah.report.page.document import PAGE

        return self.folder / PAGE

    @property
    def rows(self) -> "pandas.DataFrame":
        """A line a trial and variant, the columns those of rows.jsonl (docs/python.md). ``score`` is NaN where a trial
        has no answer. Raises NiahError where pandas is not installed."""
        rows = self._rows()
        columns = zip(*map(attrgetter(*_ROW_FIELDS), rows), strict=True) if rows else ((),) * len(_ROW_FIELDS)
        return pandas_for("rows").DataFrame(dict(zip(_ROW_FIELDS, map(list, columns), strict=True)))

    def accuracy(self, by: Literal["length", "cell", "run"] = "length") -> "pandas.DataFrame":
        """Accuracy (0 to 1) with its 95% interval ``low`` to ``high``, as the report has it: a line for each variant
        and length, each (length, depth) with ``by="cell"``, all together with ``by="run"``.

        ``answers`` are the trials behind it, ``failures`` those without an answer, which are in no accuracy; NaN where
        there are no answers. Raises NiahError where pandas is not installed.
        """
        if by not in _KINDS:
            raise NiahError(f"accuracy by: got {by!r}; expected one of {', '.join(_KINDS)}")
        lines = [_line(panel.rows[0].variant, cell, by) for panel in self._panels() for cell in _cells(panel, by)]
        return pandas_for("accuracy()").DataFrame(lines, columns=list(_line("", None, by)))

    def heatmap(self, **look: Any) -> "Picture":
        """Accuracy by depth and length, a grid a variant: a matplotlib Figure. ``look`` are settings of the report, as
        ``cell="interval"`` or ``font="Noto Sans"``; without them those of the run."""
        from niah.report import heatmap, style
        from niah.report.cell_grid import MAX_GRIDS

        settings = self._look(look)
        with style.figure_style(settings.font, has_axes=False):
            figure = heatmap.figure(self._panels()[:MAX_GRIDS], settings)
            style.finish(figure, settings.dpi, settings.width)
        return figure

    def curve(self, **look: Any) -> "Picture":
        """Accuracy by length with intervals and the effective length, a line a variant. Raises NiahError where fewer
        than two lengths have answers."""
        from niah.report import curve, style
        from niah.report.cell_grid import MAX_GRIDS

        settings = self._look(look)
        with style.figure_style(settings.font):
            if (figure := curve.figure(self._panels()[:MAX_GRIDS], settings)) is None:
                raise NiahError(f"{self.folder}: no curve; expected answers at two lengths or more")
            style.finish(figure, settings.dpi, settings.width)
        return figure

    def show(self, trial: int | None = None, *, cell: str | None = None, whole: bool = False) -> Text:
        """A trial's prompt, built again and verified, its question, targets and response; of ``trial`` None the first
        wrong one. ``cell="8k,50"`` lists the trials of a length and depth; ``whole`` has all of the prompt.

        Raises NiahError where the prompt cannot be rebuilt exactly.
        """
        from niah.commands import show

        if isinstance(trial, bool) or not isinstance(trial, Integral | None):  # a table's numbers are numpy's
            raise NiahError(f"show: got trial {trial!r}; expected its number, as show(17)")
        if cell is not None and not isinstance(cell, str):
            raise NiahError(f'show: got cell {cell!r}; expected a length and a depth in percent, as cell="8k,50"')
        if cell is not None:
            if trial is not None:
                raise NiahError("show: got a trial and a cell; expected one of them")
            lines, trials = show.matching(str(self.folder), cell)
            if len(trials) > 1:
                return Text("\n".join(lines))
            (trial,) = trials
        with self._own_plug_ins():
            return Text(show.describe(str(self.folder), trial, whole=whole))

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept of the open folder: another process opens its own."""
        return {"folder": self.folder, "_config_dir": self._config_dir}

    def __str__(self) -> str:
        """The table that the command prints."""
        from niah.report import labels
        from niah.report.accuracy import accuracy_by_length

        table = accuracy_by_length(self.record, self._rows(), self._look({}).threshold)
        return "\n".join([*labels.made_up_lines([("", self.record.engine_name)]), table])

    def __repr__(self) -> str:
        return f"niah.load({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """The table and the heatmap."""
        record = self.record
        title = f"{record.model_title}, task {record.task_title}, haystack {record.haystack}"
        picture = base64.b64encode(self.heatmap(dpi=100)._repr_png_()).decode()
        return (
            f"<p><b>{html.escape(title)}</b><br>{html.escape(str(self.folder))}</p><pre>{html.escape(str(self))}</pre>"
            f'<img alt="accuracy by depth and length" src="data:image/png;base64,{picture}">'
        )

    @cached_property
    def _opened(self) -> store.RunFolder:
        return store.RunFolder(self.folder)  # it keeps its rows, until there are others

    def _rows(self) -> list[Row]:
        return self._opened.rows()

    def _panels(self) -> "list[Panel]":
        from niah.report.panel import panels

        return panels(self.record, self._rows())

    def _look(self, look: dict[str, Any]) -> "ReportSettings":
        from niah.report.settings import ReportSettings

        settings: ReportSettings = config.typed("report", ReportSettings, {**self.record.report_settings, **look})[0]
        return settings

    @contextmanager
    def _own_plug_ins(self) -> Iterator[None]:
        before = choices.own_folder()
        choices.use(self._config_dir or before)
        try:
            yield
        finally:
            choices.use(before)


def _cells(panel: "Panel", by: str) -> "list[CellStats]":
    from niah.stats import cells

    if not panel.rows:
        return []
    if by == "run":
        return [cells.overall(panel.rows)]
    return list(cells.by_cell(panel.rows).values()) if by == "cell" else cells.by_length(panel.rows)


def _line(variant: str, cell: "CellStats | None", by: str) -> dict[str, Any]:
    """Of a table by ``by``; of no cell its columns alone."""
    line: dict[str, Any] = {"variant": variant}
    if by != "run":
        line["length"] = cell and cell.length
    if by == "cell":
        line["depth"] = cell and cell.depth
    numbers = (cell.mean, cell.low, cell.high, cell.n, cell.errors) if cell else (None,) * 5
    return line | dict(zip(("accuracy", "low", "high", "answers", "failures"), numbers, strict=True))


def pandas_for(what: str) -> Any:
    """pandas. Raises NiahError where it is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise NiahError(
            f"{what}: needs pandas, which is not installed; pip install 'niah[notebook]'; rows.jsonl has the same rows"
        ) from error
    return pandas
