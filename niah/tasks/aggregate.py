"""The most common words of a text that is all words: nothing to find, everything to add up.

RULER's common and frequent words extraction (Hsieh et al. 2024, arXiv:2404.06654, section 3;
common_words_extraction.py, freq_words_extraction.py). The task writes the whole context; its last
few entries are further uncommon words, or dots, and bring it to its exact length.
"""

import string
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count

import numpy as np

from niah.errors import NiahError
from niah.languages import wordlists
from niah.limits import NEW, free_text, limited, one_of
from niah.records import Problem
from niah.tasks import Task, draws

_SHORT = 4096
"""Below this length of a trial RULER repeats common words 6 times and the others once."""
_DOTS = "..."


@dataclass(frozen=True, kw_only=True)
class Aggregate(Task):
    """``form`` words: a numbered list in which ``num_common`` words stand ``common_repeats`` times and the
    others ``uncommon_repeats`` times; in trials below 4,096 tokens 6 times and once, as in RULER. ``form`` coded:
    made-up words whose frequency falls with their rank to the power of ``alpha`` (a zeta distribution); the three
    after the dots are asked for. ``example`` puts a solved example first, as RULER does, worded as in ``version`` of
    it (tasks/ruler.py). Empty texts take the language's (coded: RULER's English).
    """

    name: str = "aggregate"
    form: str = one_of("words", "coded")
    num_common: int = limited(10, at_least=1, at_most=100_000)
    common_repeats: int = 30
    uncommon_repeats: int = limited(3, at_least=1, at_most=100_000)
    alpha: float = limited(2.0, above=1)
    example: bool = False
    version: str = one_of("head", "package", known_as=NEW)
    template: str = free_text("{instruction}\n{context}\n{question}")
    instruction: str = free_text("")
    question: str = free_text("")
    answer_prefix: str = free_text("")

    unshared = "it asks about the whole text"
    writes_context = True
    has_depth = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.common_repeats <= self.uncommon_repeats:
            raise NiahError(
                f"task.common_repeats: got {self.common_repeats} and {self.uncommon_repeats} for uncommon words; "
                "expected more for common ones"
            )

    @property
    def answer_tokens(self) -> int:
        return self.max_tokens or (50 if self.form == "coded" else 12 * self.num_common)

    def at(self, length: int) -> "Aggregate":
        return _Short(**asdict(self)) if self.form == "words" and length < _SHORT else self

    @property
    def _repeats(self) -> tuple[int, int]:
        """How often a common word stands in the list, and any other."""
        return self.common_repeats, self.uncommon_repeats

    @property
    def _example(self) -> tuple[int, int, int]:
        """The same in the solved example, and how many words it has."""
        return 10, 3, 40

    def fill(
        self, rng: np.random.Generator, language: str, num_tokens: int, num_tokens_of: Callable[[str], int]
    ) -> Problem:
        """A problem whose text has at least ``num_tokens`` tokens; only what pads it may be cut off."""
        code = self.language_in(language)
        phrases = self.phrases_in(language)
        words = list(wordlists.all_words()) if code == "en" else phrases["words"]
        seeds = rng.integers(2**32, size=2)
        write = self._coded if self.form == "coded" else self._words
        text, targets, padding = _fitted(
            lambda size: write(np.random.default_rng(seeds[0]), words, size, num_tokens), num_tokens, num_tokens_of
        )
        own = _CODED if self.form == "coded" else phrases["aggregate"]
        wording = {"count": len(targets)}
        question = draws.filled(self.question or own["question"], **wording)
        prefix = draws.filled(self.answer_prefix or own["prefix"], **wording)
        instruction = self.instruction or own["instruction"]
        preamble = ""
        if self.example and self.form == "words":
            preamble = self._solved(np.random.default_rng(seeds[1]), words, instruction, question, prefix)
        return Problem(
            (), question, tuple(targets), prefix, text=text + padding, preamble=preamble, instruction=instruction
        )

    def _words(
        self, rng: np.random.Generator, words: list[str], size: int, num_tokens: int
    ) -> tuple[str, list[str], Callable[[], str]]:
        """A list of about ``size`` entries, its common words, and a source of further entries."""
        often, seldom = self._repeats
        num_other = max(1, (size - often * self.num_common) // seldom)
        fresh = _vocabulary(rng, words)
        drawn = [next(fresh) for _ in range(self.num_common + num_other)]
        common = drawn[: self.num_common]
        entries = common * often + drawn[self.num_common :] * seldom
        ordered = [entries[place] for place in rng.permutation(len(entries))]
        numbers = count(len(ordered) + 1)
        return _numbered(ordered), common, lambda: f" {next(numbers)}. {next(fresh)}"

    def _coded(
        self, rng: np.random.Generator, words: list[str], size: int, num_tokens: int
    ) -> tuple[str, list[str], Callable[[], str]]:
        """About ``size`` coded words, the three most frequent after the dots, and a source of dots."""
        from scipy.special import zeta

        ranks = np.arange(1, max(4, num_tokens // 50) + 1)
        counts = (size * ranks**-self.alpha / zeta(self.alpha)).astype(int)
        counts = counts[counts > 0]
        letters = rng.choice(list(string.ascii_lowercase), (2 * len(counts) + 8, 6))
        coded = list(dict.fromkeys("".join(row) for row in letters))[: len(counts) - 1]
        vocabulary = [_DOTS, *coded]
        entries = np.repeat(np.arange(len(vocabulary)), counts[: len(vocabulary)])
        rng.shuffle(entries)
        return " ".join(vocabulary[entry] for entry in entries), vocabulary[1:4], lambda: f" {_DOTS}"

    def _solved(
        self, rng: np.random.Generator, words: list[str], instruction: str, question: str, prefix: str
    ) -> str:
        """The small solved example that stands before the real list."""
        often, seldom, num_words = self._example
        fresh = _vocabulary(rng, words)
        drawn = [next(fresh) for _ in range(max(num_words, self.num_common + 1))]
        common = drawn[: self.num_common]
        entries = common * often + drawn[self.num_common :] * seldom
        listed = _numbered([entries[place] for place in rng.permutation(len(entries))])
        space = " " if self.version == "head" else ""
        return f"{instruction}\n{listed}\n{question} {prefix}{space}{_numbered(common)}\n"


@dataclass(frozen=True, kw_only=True)
class _Short(Aggregate):
    """A list of words in trials that are too short for as many repeats."""

    @property
    def _repeats(self) -> tuple[int, int]:
        return 6, 1

    @property
    def _example(self) -> tuple[int, int, int]:
        return 3, 1, 20


_CODED = {
    "instruction": "Read the following coded text and track the frequency of each coded word. Find the three most "
    "frequently appeared coded words.",
    "question": "Question: Do not provide any explanation. Please ignore the dots '....'. What are the three most "
    "frequently appeared words in the above coded text?",
    "prefix": "Answer: According to the coded text above, the three most frequently appeared words are:",
}


def _numbered(words: list[str]) -> str:
    return " ".join(f"{number}. {word}" for number, word in enumerate(words, 1))


def _vocabulary(rng: np.random.Generator, words: list[str]) -> Iterator[str]:
    """Different words without end: ``words`` in random order, then pairs of them, then longer ones."""
    yield from (words[place] for place in rng.permutation(len(words)))
    for size in count(2):
        seen: set[str] = set()
        while len(seen) < len(words) ** size // 2:
            joined = "-".join(words[place] for place in rng.integers(len(words), size=size))
            if joined not in seen:
                seen.add(joined)
                yield joined


def _fitted(
    write: Callable[[int], tuple[str, list[str], Callable[[], str]]], num_tokens: int,
    num_tokens_of: Callable[[str], int],
) -> tuple[str, list[str], str]:
    """The largest text found with at most ``num_tokens`` tokens, its targets, and padding to go beyond."""
    size, best = max(4, num_tokens // 6), None
    for _ in range(6):
        text, targets, more = write(size)
        got = num_tokens_of(text)
        if got <= num_tokens and (best is None or got > best[0]):
            best = got, text, targets, more
        if best is not None and best[0] > 0.995 * num_tokens:
            break
        size = int(size * (0.998 if got > num_tokens else 0.9995) * num_tokens / got)
    if best is None:
        raise NiahError(
            f"task=aggregate: the shortest list does not fit; got {num_tokens:,} tokens for it; expected a longer "
            "length, or a smaller task.num_common or task.common_repeats"
        )
    got, text, targets, more = best
    padding: list[str] = []
    while got < num_tokens + 64:
        block = [more() for _ in range(max(32, (num_tokens - got) // 6))]
        padding += block
        got += num_tokens_of("".join(block))
    return text, targets, "".join(padding)
