"""What prompts have in common: the fewest tokens that an engine with a prefix cache can compute for them."""

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
