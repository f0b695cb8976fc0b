"""What ``pressure.key=value`` sets."""

from dataclasses import dataclass

from niah.limits import check, limited


@dataclass(frozen=True)
class PressureSettings:
    """``prompts`` are asked under each condition, ``others`` of them in flight beside each. ``pool`` is the small
    pool's room, in prompts. ``offload_gib`` is the memory of the engine's offload tier. ``confidence`` that no
    condition is named where none changes anything."""

    prompts: int = limited(24, at_least=4, at_most=10_000)
    others: int = limited(3, at_least=1, at_most=1000)
    pool: float = limited(1.5, at_least=1.1, at_most=100, example="1.5")
    offload_gib: float = limited(4.0, above=0)
    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")

    def __post_init__(self) -> None:
        check(self, "pressure")
