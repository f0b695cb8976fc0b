"""What ``frontier.key=value`` sets."""

from dataclasses import dataclass

from niah.errors import NiahError
from niah.limits import check, free_text, limited, one_of
from niah.stats.effective_length import NOLIMA, RULER

_THRESHOLDS = {"ruler": RULER, "nolima": NOLIMA}


@dataclass(frozen=True)
class FrontierSettings:
    """``threshold`` is an accuracy from 0 to 1, ``ruler`` (0.856), or ``nolima``: 0.85 times the accuracy at the base
    lengths, those up to 1K. ``confidence`` is a share. ``budget`` (null: none) is what one command may spend.

    ``most`` is how many contexts a length may have. ``unit`` says which depths a context is asked at: ``one``, drawn at
    random beforehand, ``all``, or ``auto``: all where trials share a context (ctx.share), which makes them cheap.
    """

    threshold: str = free_text("0.85")
    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")
    budget: str | None = free_text(None)
    most: int = limited(150, at_least=1, at_most=10_000)
    unit: str = one_of("auto", "one", "all")

    def __post_init__(self) -> None:
        check(self, "frontier")
        if not 0 < self.level < 1:
            raise self._refused()

    @property
    def is_of_base(self) -> bool:
        """Whether the threshold is a share of the base's accuracy."""
        return self.threshold == "nolima"

    @property
    def level(self) -> float:
        """The accuracy, or share of the base's, that counts. Raises NiahError for what is none."""
        try:
            return _THRESHOLDS.get(self.threshold) or float(self.threshold)
        except ValueError as error:
            raise self._refused() from error

    def _refused(self) -> NiahError:
        return NiahError(
            f"frontier.threshold: got {self.threshold!r}; expected an accuracy between 0 and 1, as 0.85, ruler or "
            "nolima"
        )
