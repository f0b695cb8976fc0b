"""How a report looks."""

from dataclasses import dataclass, field

from niah.errors import NiahError

FORMATS = ("png", "svg", "pdf")
CELLS = ("accuracy", "interval", "logprob", "n")


@dataclass(frozen=True)
class ReportSettings:
    """``cell`` is what the heatmap's cells show; ``threshold``, a share, adds an effective length of the user's own."""

    formats: list[str] = field(default_factory=lambda: ["png", "svg"])
    dpi: int = 160
    cell: str = "accuracy"
    threshold: float | None = None

    def __post_init__(self) -> None:
        for number, name in enumerate(self.formats):
            if name not in FORMATS:
                raise NiahError(f"report.formats[{number}]: got {name!r}; expected one of {', '.join(FORMATS)}")
        if not 30 <= self.dpi <= 1200:
            raise NiahError(f"report.dpi: got {self.dpi}; expected 30 to 1200")
        if self.cell not in CELLS:
            raise NiahError(f"report.cell: got {self.cell!r}; expected one of {', '.join(CELLS)}")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise NiahError(f"report.threshold: got {self.threshold:g}; expected a share of right answers from 0 to 1, as 0.9")
