"""What ``rag.key=value`` sets."""

from dataclasses import dataclass

from niah.limits import check, limited, one_of


@dataclass(frozen=True)
class RagSettings:
    """``margin`` and ``confidence`` are shares. ``hardware`` (null: none) is what dollars are counted for, as 8xh100.

    ``cost`` is the axis of the picture of accuracy against cost. ``drop_known`` leaves out questions that are answered
    right without the context. ``questions_per_day`` is what costs are counted up to.
    """

    margin: float = limited(
        0.02, above=0, below=1, expected="a share of right answers between 0 and 1", example="0.02 for 2 points"
    )
    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")
    drop_known: bool = False
    hardware: str | None = "h100"
    cost: str = one_of("tokens", "seconds", "dollars")
    questions_per_day: int = limited(1000, at_least=1)
    out: str | None = None

    def __post_init__(self) -> None:
        check(self, "rag")
