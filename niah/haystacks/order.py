"""Shuffled haystacks: the sentences of a block of text in random order, its documents dissolved.

Models find needles more easily in them than in coherent text (Hong et al. 2025, "Context Rot").
"""

from collections.abc import Iterable, Iterator

import numpy as np

from niah.tokens.boundaries import SENTENCE_END, is_open

_BLOCK = 4_000_000
"""Characters whose sentences are mixed: far more than most contexts, little enough for memory."""
_SEED = 20231108


def shuffled(documents: Iterable[str], *, by_line: bool) -> Iterator[str]:
    """One document a block, of the same sentences (or lines) in random order."""
    rng = np.random.default_rng(_SEED)
    held: list[str] = []
    num_held = 0
    for document in documents:
        held.append(document)
        num_held += len(document)
        if num_held >= _BLOCK:
            yield _mixed(held, rng, by_line)
            held, num_held = [], 0
    if held:
        yield _mixed(held, rng, by_line)


def _mixed(documents: list[str], rng: np.random.Generator, by_line: bool) -> str:
    parts = [part for document in documents for part in (document.splitlines() if by_line else sentences(document))]
    ordered = [parts[number] for number in rng.permutation(len(parts))]
    if by_line:
        return "\n".join(ordered)
    return "".join(part if is_open(part[-1]) else part + " " for part in ordered)


def sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space around them."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    found = (text[start:stop].strip() for start, stop in zip([0, *ends], [*ends, len(text)], strict=True))
    return [sentence for sentence in found if sentence]
