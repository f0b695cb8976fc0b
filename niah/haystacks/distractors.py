"""RULER's haystack "needle", lines that look like needles (Hsieh et al. 2024, arXiv:2404.06654, multikey 2 and 3)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from niah.errors import NiahError
from niah.haystacks import Haystack, Skip
from niah.languages import wordlists
from niah.limits import free_text, limited, one_of

_LINES = 1000  # of one document
_LOWEST = 1_000_000  # of seven digits
_KINDS = ("number", "word", "uuid")


@dataclass(frozen=True, kw_only=True)
class Distractors(Haystack):
    """Endless lines, each with a key and a value of its own: none of either comes twice.

    ``key`` is words (adjective-noun) or uuid; ``answer`` is number (7 digits), word (adjective-noun) or
    uuid. Where keys and values are of one kind, no key is a value either. After the last of the 9M
    numbers or the 6M pairs of words they go on with numbers to them. ``sentence`` has {key}, {value}
    and, if wanted, {answer}.
    """

    name: str = "distractors"
    licence: str = free_text("generated; its words are those of the package wonderwords (MIT)")
    separator: str = free_text("\n")
    seed: int = limited(0, at_least=0)
    answer: str = one_of(*_KINDS)
    key: str = one_of("words", "uuid")
    sentence: str = free_text("One of the special magic {answer}s for {key} is: {value}.")

    endless = True
    by_line = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{key}" not in self.sentence or "{value}" not in self.sentence or "\n" in self.sentence:
            raise NiahError(
                f"haystack.sentence: got {self.sentence!r}; expected one line with {{key}} and {{value}} in it"
            )

    def identity(self) -> str:
        words = (_plain("adjective"), _plain("noun")) if self.key == "words" or self.answer == "word" else ()
        return f"{self!r} numpy {np.__version__} {hashlib.sha256(repr(words).encode()).hexdigest()}"

    def documents(self, skip: Skip) -> Iterator[str]:
        kinds = ("word" if self.key == "words" else self.key, self.answer)
        makers = {"number": _numbers, "word": _word_pairs, "uuid": _uuids}
        drawn = {kind: makers[kind](np.random.default_rng([self.seed, _KINDS.index(kind)])) for kind in kinds}
        keys, values = (drawn[kind] for kind in kinds)  # of one kind: both take from the same draw
        template = self.sentence.replace("{answer}", self.answer)
        while True:
            yield "\n".join(
                template.replace("{key}", next(keys)).replace("{value}", next(values)) for _ in range(_LINES)
            )


def _numbers(rng: np.random.Generator) -> Iterator[str]:
    """Numbers of seven digits in random order; when all are used, of eight and more: 1 before them, 2 ..."""
    for turn in count():
        for number in _shuffled(9 * _LOWEST, rng):
            yield f"{turn or ''}{_LOWEST + number}"


def _word_pairs(rng: np.random.Generator) -> Iterator[str]:
    """adjective-noun pairs in random order; when all are used, adjective-noun-2, then -3."""
    adjectives, nouns = _plain("adjective"), _plain("noun")
    for turn in count(1):
        end = f"-{turn}" if turn > 1 else ""
        for pair in _shuffled(len(adjectives) * len(nouns), rng):
            yield f"{adjectives[pair // len(nouns)]}-{nouns[pair % len(nouns)]}{end}"


def _uuids(rng: np.random.Generator) -> Iterator[str]:
    """UUIDs of version 4: their 122 random bits do not come twice."""
    while True:
        block = np.frombuffer(rng.bytes(16 * _LINES), np.uint8).reshape(-1, 16).copy()
        block[:, 6] = block[:, 6] & 0x0F | 0x40
        block[:, 8] = block[:, 8] & 0x3F | 0x80
        digits = block.tobytes().hex()
        for at in range(0, len(digits), 32):
            groups = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
            yield "-".join(digits[at + start : at + stop] for start, stop in groups)


def _shuffled(number: int, rng: np.random.Generator) -> Iterator[int]:
    """0 to ``number`` - 1 in random order, as Python's integers, made in blocks to save memory."""
    order = rng.permutation(np.arange(number, dtype=np.int32))
    for start in range(0, number, _LINES):
        yield from order[start : start + _LINES].tolist()


def _plain(kind: str) -> list[str]:
    """The words without hyphens and capitals: with them two pairs could read the same."""
    return [word for word in wordlists.words(kind) if word.isascii() and word.isalpha() and word.islower()]
