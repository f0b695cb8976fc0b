"""What ``decide.key=value`` sets."""

from dataclasses import dataclass

from niah.limits import check, free_text, limited, one_of


@dataclass(frozen=True)
class DecideSettings:
    """``margin`` and ``confidence`` are shares. ``budget`` (null: none) is what one command may spend.

    ``most`` is how many repeats there may be, ``batch`` how many are asked of each side before the next look, at least.
    ``unit`` says what a repeat is asked: ``one`` cell, drawn at random beforehand, ``all``, or ``auto``: all where
    trials share a context (ctx.share), which makes them cheap.
    """

    margin: float = limited(
        0.02, above=0, below=1, expected="a share of right answers between 0 and 1", example="0.02 for 2 points"
    )
    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")
    budget: str | None = free_text(None)
    most: int = limited(600, at_least=1, at_most=10_000)
    batch: int = limited(16, at_least=1)
    unit: str = one_of("auto", "one", "all")

    def __post_init__(self) -> None:
        check(self, "decide")
