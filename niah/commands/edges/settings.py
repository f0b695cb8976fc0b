"""What ``edges.key=value`` sets."""

from dataclasses import dataclass

from niah.limits import check, limited


@dataclass(frozen=True)
class EdgesSettings:
    """``confidence`` that no pattern is named where there is none. ``texts`` is how many needles short prompts have, a
    dozen lengths of each; long ones have half as many. More of them find weaker patterns."""

    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")
    texts: int = limited(8, at_least=2, at_most=1000)

    def __post_init__(self) -> None:
        check(self, "edges")
