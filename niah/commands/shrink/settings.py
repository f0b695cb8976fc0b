"""What ``shrink.key=value`` sets."""

from dataclasses import dataclass

from niah.limits import check, free_text, limited


@dataclass(frozen=True)
class ShrinkSettings:
    """The trial is asked ``repeats`` times before anything is made smaller. ``budget`` (null: none) is what one command
    may spend: minutes, tokens or dollars, or a number of prompts to try, as "200 probes". Up to ``earlier`` requests
    that came before the trial are asked first where it does not fail alone. ``tolerance`` (nats) is what two
    log-probabilities may differ by; 0 measures it."""

    budget: str | None = free_text(None)
    repeats: int = limited(3, at_least=1, at_most=100)
    earlier: int = limited(8, at_least=0, at_most=64)
    tolerance: float = limited(0.0, at_least=0, expected="nats, 0 to measure it")

    def __post_init__(self) -> None:
        check(self, "shrink")
