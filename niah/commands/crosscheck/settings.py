"""What ``crosscheck.key=value`` sets."""

from dataclasses import dataclass

from niah.limits import check, limited


@dataclass(frozen=True)
class CrosscheckSettings:
    """``trials`` of the run are asked again (0: all), under every variant; a first difference of at most ``near_tie``
    nats is a close call that rounding may decide."""

    trials: int = limited(40, at_least=0, expected="a number of trials, 0 for all")
    near_tie: float = limited(0.5, at_least=0, expected="nats, 0 or more")
    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")

    def __post_init__(self) -> None:
        check(self, "crosscheck")
