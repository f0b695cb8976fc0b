"""The random parts of a constructed model, each drawn from its seed: codes of tokens, orders of signs, carriers."""

from functools import lru_cache

import numpy as np

from niah.models.constructed.design import CODE, Design


@lru_cache(maxsize=4)
def token_codes(vocabulary: int, seed: int) -> np.ndarray:
    """Signs, int8 (vocabulary, CODE); two tokens share a code with a chance of 2**-64."""
    drawn = np.random.default_rng([seed, 0]).integers(0, 256, (vocabulary, CODE // 8), dtype=np.uint8)
    return (2 * np.unpackbits(drawn, axis=1).astype(np.int8) - 1)


@lru_cache(maxsize=4)
def output_codes(vocabulary: int, seed: int) -> np.ndarray:
    """The signs that are copied, float32 (vocabulary, CODE - 2)."""
    return token_codes(vocabulary, seed)[:, : CODE - 2].astype(np.float32)


def orders(design: Design) -> list[np.ndarray]:
    """How each hashing layer reorders the signs of the earlier n-gram, so that the order of tokens counts."""
    rng = np.random.default_rng([design.seed, 1])
    return [rng.permutation(CODE) for _ in design.steps]


@lru_cache(maxsize=4)
def carriers(vocabulary: int, seed: int) -> np.ndarray:
    """float32 (vocabulary, CODE // 2): directions drawn evenly, each of length sqrt(CODE // 2)."""
    drawn = np.random.default_rng([seed, 2]).standard_normal((vocabulary, CODE // 2), dtype=np.float32)
    made: np.ndarray = drawn * np.sqrt(CODE // 2, dtype=np.float32) / np.linalg.norm(drawn, axis=1, keepdims=True)
    return made
