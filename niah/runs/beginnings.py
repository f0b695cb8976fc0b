"""What prompts have in common: the fewest tokens that an engine with a prefix cache can compute for them, and the order
in which a small cache lets it compute no more."""

from collections.abc import Sequence

import numpy as np


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
        size, digests = self._block_size, self.digests(ids)
        if repeat not in self._seen:
            while len(self._seen) >= self._num_repeats:
                del self._seen[next(iter(self._seen))]
            self._seen[repeat] = []
        most = max((_num_same(digests, other) for other in self._seen[repeat]), default=0)
        self._seen[repeat].append(digests)
        return len(ids) - size * min(most, (len(ids) - 1) // size)

    def digests(self, ids: np.ndarray) -> np.ndarray:
        """A number for each whole block, uint64 (blocks,): equal blocks have equal ones, others hardly ever."""
        num_blocks = len(ids) // self._block_size
        blocks = ids[: num_blocks * self._block_size].reshape(num_blocks, self._block_size).astype(np.uint64)
        return (blocks + np.uint64(1)) @ self._weights  # modulo 2**64


def depth_first(prompts: Sequence[np.ndarray]) -> list[int]:
    """Places of the prompts (``Beginnings.digests`` of each) as a walk through their trie meets them: the first first,
    then always one that has most in common with the one before it, the first of those.

    Each then begins like the one right before it for as long as it begins like any earlier one. So a cache with room
    for one prompt, which gives up the least recently used blocks and of one prompt the last ones first (vLLM's), lets
    an engine compute no block of the trie twice; no order and no other rule do with less. An order that is such a walk
    already stays as it is.
    """
    left = list(range(len(prompts)))
    found = left[:1]
    del left[:1]
    while left:
        last = prompts[found[-1]]
        chosen = max(left, key=lambda place: (_num_same(last, prompts[place]), -place))
        left.remove(chosen)
        found.append(chosen)
    return found


def _num_same(one: np.ndarray, other: np.ndarray) -> int:
    """Items with which both begin."""
    num = min(len(one), len(other))
    differ = one[:num] != other[:num]
    return int(differ.argmax()) if differ.any() else num
