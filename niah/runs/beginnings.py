"""What prompts have in common: the fewest tokens that an engine with a prefix cache can compute for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from niah.records import RunSession

MOST_OVER = 1.05
"""Tokens computed to tokens needed: where the cache holds a repeat's prompts, more is the engine's doing."""


class Beginnings:
    """Counts, prompt by prompt, the tokens that no earlier prompt of its repeat begins with.

    A prefix cache holds whole blocks of ``block_size`` tokens, so the sum over all prompts is the number of tokens in
    the trie of their blocks, and of what stands behind their last whole block. It does not depend on the order. Kept
    are half a byte for each token of a prompt (at 16 tokens a block), and of the last ``num_repeats`` alone: prompts of
    different repeats have nothing in common but a template's first words.
    """

    def __init__(self, block_size: int, num_repeats: int = 1):
        self._block_size, self._num_repeats = block_size, num_repeats
        self._seen: dict[int, list[np.ndarray]] = {}
        rng = np.random.default_rng(0)
        self._weights = rng.integers(1, 2**63, block_size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    def needed(self, repeat: int, ids: np.ndarray) -> int:
        """Tokens of the prompt (int32, (tokens,)) that have to be computed where all earlier ones are cached; one
        block at least, since an engine computes a prompt's last token."""
        size = self._block_size
        num_blocks = len(ids) // size
        blocks = ids[: num_blocks * size].reshape(num_blocks, size).astype(np.uint64)
        digests = (blocks + np.uint64(1)) @ self._weights  # modulo 2**64: equal blocks are equal, others hardly ever
        if repeat not in self._seen:
            while len(self._seen) >= self._num_repeats:
                del self._seen[next(iter(self._seen))]
            self._seen[repeat] = []
        most = max((_num_same(digests, other) for other in self._seen[repeat]), default=0)
        self._seen[repeat].append(digests)
        return len(ids) - size * min(most, (len(ids) - 1) // size)


def _num_same(one: np.ndarray, other: np.ndarray) -> int:
    """Items with which both begin."""
    num = min(len(one), len(other))
    differ = one[:num] != other[:num]
    return int(differ.argmax()) if differ.any() else num


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
