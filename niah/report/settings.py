"""How a report looks."""

from dataclasses import dataclass, field

from niah.errors import NiahError

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class ReportSettings:
    formats: list[str] = field(default_factory=lambda: ["png", "svg"])
    dpi: int = 160

    def __post_init__(self) -> None:
        for number, name in enumerate(self.formats):
            if name not in FORMATS:
                raise NiahError(f"report.formats[{number}]: got {name!r}; expected one of {', '.join(FORMATS)}")
        if not 30 <= self.dpi <= 1200:
            raise NiahError(f"report.dpi: got {self.dpi}; expected 30 to 1200")
