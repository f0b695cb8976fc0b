"""How a report looks."""

from dataclasses import dataclass

from niah.limits import check, free_text, limited, one_of


@dataclass(frozen=True)
class ReportSettings:
    """``width`` is that of a paper's column, or of both (report/column_width.py); without it a figure is as wide as it
    needs. ``font`` is a font's name or file, for what DejaVu Sans has not. ``cell`` is what the heatmap's cells show;
    ``threshold``, a share, adds an effective length of the user's own.

    ``page`` writes report.html and report.json, ``live`` every minute while a run goes on; ``excerpts`` keeps what the
    page shows of the prompts.
    """

    formats: list[str] = one_of("png", "svg", "pdf", default=["png", "svg"])
    dpi: int = limited(160, at_least=30, at_most=1200, expected="30 to 1200")
    width: str | None = one_of("single", "double", default=None)
    font: str = free_text("")
    cell: str = one_of("accuracy", "interval", "logprob", "n")
    threshold: float | None = limited(
        None, above=0, at_most=1, expected="a share of right answers from 0 to 1", example="0.9"
    )
    page: bool = True
    live: bool = False
    excerpts: bool = True

    def __post_init__(self) -> None:
        check(self, "report")
