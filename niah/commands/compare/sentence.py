"""The verdict of one comparison in words."""

from niah.commands.compare.pairs import CompareSettings, Pair, answers
from niah.report import verdict
from niah.stats.comparison import Comparison, Difference, pooled
from niah.stats.power import Resolution


def sentence(pair: Pair, found: Comparison, settings: CompareSettings, could: Resolution | None = None) -> str:
    """``could`` is what would have been found, where nothing was."""
    a, b = answers(pair.a), answers(pair.b)

    def over(lengths: tuple[int, ...], confidence: float) -> Difference:
        return pooled(a, b, found.is_paired, lengths, confidence)

    return verdict.sentence(
        found, pair.base.label, pair.other.label, over, settings.confidence, settings.margin, could
    )
