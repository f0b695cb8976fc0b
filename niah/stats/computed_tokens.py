"""Prompt tokens that were computed, beside those that a prefix cache needs for the same prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from niah.records import RunSession

MOST_OVER = 1.05
"""Tokens computed to tokens needed: where the cache holds a repeat's prompts, more is the engine's doing."""


@dataclass(frozen=True)
class Tokens:
    """Prompt tokens of one variant: ``sent``, ``computed`` by the engine as it says, and ``needed`` at least."""

    sent: int = 0
    computed: int = 0
    needed: int = 0

    def plus(self, sent: int, computed: int, needed: int) -> "Tokens":
        """With another prompt's."""
        return Tokens(self.sent + sent, self.computed + computed, self.needed + needed)

    @property
    def ratio(self) -> float:
        """Computed to needed; 1 is the best."""
        return self.computed / self.needed if self.needed else 1.0

    def sentence(self) -> str:
        """What a run says at its end; empty where nothing was measured."""
        if not self.sent:
            return ""
        line = (
            f"prompt tokens: {self.sent:,} sent, {self.computed:,} computed, {self.ratio:.2f} of the {self.needed:,} "
            "that a prefix cache needs for these prompts"
        )
        if self.ratio <= MOST_OVER:
            return line
        return (
            f"{line}: the engine kept less than this order lets it, which cost {self.computed - self.needed:,} tokens "
            "(a cache too small for a prompt, or a model whose layers keep no beginnings)"
        )


def lines(sessions: Sequence[RunSession]) -> list[str]:
    """What was computed of what was sent, a line a variant; none where no engine tells."""
    found = of_sessions(sessions)
    prefix = "{}: " if len(found) > 1 else ""
    return [prefix.format(variant) + tokens.sentence() for variant, tokens in found.items() if tokens.sent]


def of_sessions(sessions: Sequence[RunSession]) -> dict[str, Tokens]:
    """The sums over a run's sessions by variant; each session begins with an empty cache."""
    found: dict[str, Tokens] = {}
    for session in sessions:
        for variant, counts in session.tokens.items():
            found[variant] = found.get(variant, Tokens()).plus(**_three(counts))
    return found


def _three(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: int(counts.get(name, 0)) for name in ("sent", "computed", "needed")}
