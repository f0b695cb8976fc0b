"""What ``niah.compare`` returns: the paired test of runs as sentences, as a table and as a picture."""

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from niah import config
from niah.api.measured import Text, pandas_for
from niah.errors import NiahError

if TYPE_CHECKING:
    import pandas

    from niah.commands.compare.compare import Results
    from niah.report.style import Picture
    from niah.stats.comparison import Difference


class ComparedRuns:
    """Every run or variant against the first, the baseline."""

    def __init__(self, results: "Results"):
        self._results = results

    @property
    def sentences(self) -> list[Text]:
        """What can be concluded, one of each comparison, as the command says it."""
        return [Text(text) for text in self._results.said]

    @property
    def content(self) -> dict[str, Any]:
        """Everything as plain data, as compare.json holds it: differences as shares, p null where there is no test."""
        from niah.commands.compare.pairs import is_regression

        results = self._results
        return results.content(2 if is_regression(results.found, results.settings) else 0)

    @property
    def table(self) -> "pandas.DataFrame":
        """A line for each comparison and length, with all lengths together first (``length`` is NaN there).

        ``difference`` is that of accuracy (0 to 1), other less base, ``low`` to ``high`` its interval, ``p`` after
        Holm's adjustment, NaN where there are too few repeats. Raises NiahError where pandas is not installed.
        """
        results = self._results
        lines = [
            self._line(name, difference, is_overall=number == 0)
            for name, one in results.named for number, difference in enumerate((one.overall, *one.lengths))
        ]
        return pandas_for("table").DataFrame(lines)

    def heatmap(self, **look: Any) -> "Picture":
        """Points of accuracy gained or lost in each cell, significant ones framed; ``look`` as of a run's heatmap."""
        from niah.report import difference, style
        from niah.report.cell_grid import MAX_GRIDS
        from niah.report.settings import ReportSettings

        results = self._results
        settings: ReportSettings = config.typed("report", ReportSettings, look)[0]
        with style.figure_style(settings.font, has_axes=False):
            figure = difference.figure(
                results.named[:MAX_GRIDS], results.base.label, results.title, results.settings.confidence,
                results.base.record.engine_name, settings,
            )
            style.finish(figure, settings.dpi, settings.width)
        return figure

    def __str__(self) -> str:
        """The tables and sentences that the command prints."""
        return "\n".join(self._results.lines())

    def __repr__(self) -> str:
        return "\n".join(self._results.said)

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.heatmap(dpi=100)._repr_png_()).decode()
        said = "".join(f"<p>{html.escape(text)}</p>" for text in self._results.said)
        return f'{said}<img alt="differences by depth and length" src="data:image/png;base64,{picture}">'

    def _line(self, name: str, one: "Difference", *, is_overall: bool) -> dict[str, Any]:
        results = self._results
        return {
            "base": results.base.label, "other": name, "length": None if is_overall else one.lengths[0],
            "accuracy_base": one.base, "accuracy_other": one.other, "difference": one.difference, "low": one.low,
            "high": one.high, "lost": one.num_lost, "gained": one.num_gained, "pairs": one.num_pairs,
            "repeats": one.num_repeats, "p": one.adjusted_p,
            "significant": one.is_significant(results.settings.confidence),
        }


def compared(folders: Sequence[str], settings: dict[str, Any]) -> ComparedRuns:
    """Raises NiahError as the command does."""
    from niah.commands.compare import compare
    from niah.commands.compare.pairs import CompareSettings
    from niah.commands.compare.suites import are_suites

    own: CompareSettings = config.typed("compare", CompareSettings, settings)[0]
    if are_suites(folders):
        raise NiahError(
            f"niah.compare: {folders[0]} is a sweep of RULER, whose table has a test of its own: python -m niah compare"
        )
    return ComparedRuns(compare.results(folders, own))
