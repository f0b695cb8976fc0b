"""RAG or the long context: runs of several readers over the same instances, from rows to a statement."""

from dataclasses import dataclass

from niah.errors import NiahError

COSTS = ("tokens", "seconds", "dollars")


@dataclass(frozen=True)
class RagSettings:
    """``margin`` and ``confidence`` are shares. ``hardware`` (null: none) is what dollars are counted for, as 8xh100; ``cost`` is the
    Pareto picture's axis. ``drop_known`` leaves out questions that are answered right without the context."""

    margin: float = 0.02
    confidence: float = 0.95
    drop_known: bool = False
    hardware: str | None = "h100"
    cost: str = "tokens"
    out: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise NiahError(f"rag.margin: got {self.margin:g}; expected a share of right answers between 0 and 1, as 0.02 for 2 points")
        if not 0.5 <= self.confidence < 1:
            raise NiahError(f"rag.confidence: got {self.confidence:g}; expected 0.5 to below 1, as 0.95")
        if self.cost not in COSTS:
            raise NiahError(f"rag.cost: got {self.cost!r}; expected one of {', '.join(COSTS)}")
